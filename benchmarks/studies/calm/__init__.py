"""Do CALM's difference maps find the parts in which two species of drawn birds differ?"""
