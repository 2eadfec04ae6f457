"""Whether contrastive maps show what tells two species apart, on drawn birds that have two parts each."""
