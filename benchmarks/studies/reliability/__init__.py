"""Can the maps and the regions be trusted, on photos and classifiers that nothing was chosen on?"""
