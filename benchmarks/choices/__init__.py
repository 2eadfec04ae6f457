"""How FIDO's defaults were chosen, and how they compare with the way that existing code runs it."""
