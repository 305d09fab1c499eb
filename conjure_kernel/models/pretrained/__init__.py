"""Pipelines of diffusers, measured through their own loop; nothing else imports diffusers.

`instrument.py`: the scheduler that records and decides; `bench.py`: single-step calls, from which
`calibrate.py` learns what a pipeline does with guidance, rows and layouts; `reading.py`: what its
tokenizers cut; `pipeline.py`: the `Denoiser` around a pipeline; `fingerprint.py`: what tells two
apart; `load.py`: by name.
"""
