"""Pipelines of diffusers, measured through their own loop; nothing else imports diffusers.

- `load.py` finds a pipeline by name, folder or object.
- `pipeline.py` is the `Denoiser` around a pipeline; `pictures.py` has it decode clean states.
- `instrument.py` is the scheduler that records predictions and decides where the chain goes;
  `dialect.py` reads the one in whose place it stands.
- `single_step.py` makes short calls, with the `arguments.py` of a call; from them `calibrate.py`
  learns what a pipeline does with layouts, `guidance.py` and rows (`companions.py`), and writes a
  `calibration.py`.
- `tokens.py` counts what the tokenizers cut; `text_encoders.py` has the features of texts alone.
- `fingerprint.py` tells two models apart in the cache; `state.py` sees whether one has changed, and
  `content.py` says what a value is.
"""
