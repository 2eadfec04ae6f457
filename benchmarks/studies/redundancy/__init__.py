"""Which methods show that there are two reasons, on drawn birds whose species show in two parts."""
