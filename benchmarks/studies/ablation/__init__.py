"""How FIDO's defaults were chosen, and how they compare with existing code."""
