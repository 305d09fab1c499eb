"""Pipelines of diffusers, measured through their own loop; nothing else imports diffusers.

- `load.py` finds a pipeline by name, folder or object.
- `pipeline.py` is the `Denoiser` around a pipeline.
- `instrument.py` is the scheduler that records predictions and decides where the chain goes.
- `single_step.py` makes single-step calls, from which `calibrate.py` learns what a pipeline does
  with guidance, rows and layouts.
- `tokens.py` counts what the tokenizers cut; `text_encoders.py` has the features of texts alone.
- `fingerprint.py` tells two models apart in the cache.
"""
