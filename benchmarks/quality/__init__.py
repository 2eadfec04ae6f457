"""Maps compared where the truth is known: drawn birds that differ in one small part."""
