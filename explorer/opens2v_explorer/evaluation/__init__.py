"""The benchmark's page: prompts, reference images and several models' videos beside their scores.

Figures come from `opens2v_eval`, by its public names, imported when models are given and not before.
"""
