"""How near to the limit of a GPU does a model of true size run?

    python benchmarks/gpu.py [--dtype float16]         on a machine with CUDA, a few minutes
    python benchmarks/gpu.py --tiny                    the same road anywhere, on a toy network

Stable Diffusion 1.4 by its public configuration (UNet of 860 million parameters, 64 x 64 latents,
CLIP's text encoder), and then Stable Diffusion 3 medium (transformer of two billion parameters, at
512 x 512 pixels), with random weights, loaded from a folder as any model is: speed does not depend
on what the weights know, and nothing is downloaded. One run measures the peak of a matrix product,
the bare network at several batch sizes, the engine on a matrix, on pairs and on an embedding, and
for the UNet the paper's Algorithm 1 beside the engine on 8 prompts; each figure is printed as soon
as it is there. --network picks one of the two. Required: the engine at 0.95 of the bare network, 10
times Algorithm 1 at guidance 5. Appends to benchmarks/results/gpu.csv and algorithm_1.csv.
"""

import argparse
import gc
import tempfile
import warnings

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers.pre_tokenizers import ByteLevel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import _dit
import algorithm_1
from _results import WORDS, append_row, stop_clock
from conjure_kernel import ConjureEmbedding, load_denoiser, paired_divergence
from conjure_kernel.models.pretrained.instrument import quiet
from conjure_kernel.models.pretrained.single_step import network_of
from throughput import bare_rate, call_of, cold_matrix, pipeline_rate

STS_B = 1379  # pairs of its test part, if no sentence repeats
TRUE = {
    "unet": {
        "sample_size": 64,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
        "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": (*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
        "up_block_types": ("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
    },
    "text": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 77,
    },
    "batches": (8, 16, 32, 64, 128),
    "product": 8192,
    "prompts": 24,
    "pairs": 100,
    "reference": (8, 10),
}
TINY = {
    "unet": {
        "sample_size": 8,
        "cross_attention_dim": 32,
        "attention_head_dim": 2,
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    },
    "text": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 77,
    },
    "batches": (4, 8),
    "product": 128,
    "prompts": 4,
    "pairs": 4,
    "reference": (3, 2),
}


def main(arguments=None) -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--dtype", choices=["float16", "bfloat16", "float32"])
    options.add_argument("--seconds", type=float, default=5, help="per bare measurement")
    options.add_argument("--compile", action="store_true")
    options.add_argument("--network", choices=["unet", "dit"], nargs="+", default=["unet", "dit"])
    options.add_argument("--tiny", action="store_true")
    given = options.parse_args(arguments)
    if not given.tiny and not torch.cuda.is_available():
        raise SystemExit(
            "gpu.py: this machine has no CUDA device, and a UNet of true size would take hours "
            "without one. Run it on a machine with a GPU, or try the code with --tiny."
        )
    size = TINY if given.tiny else TRUE
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = given.dtype or ("float16" if device.type == "cuda" else "float32")
    for network in given.network:
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            with quiet():
                made = make_pipeline(size, device) if network == "unet" else dit(given, device)
                made.to(dtype=getattr(torch, dtype)).save_pretrained(folder)
                del made
            model = load_denoiser(folder, device=device.type, dtype=dtype, compile=given.compile)
            measure(model, size, given, network)
            del model
        gc.collect()


def dit(given, device):
    """The transformer, of true size or tiny."""
    size = _dit.TINY if given.tiny else _dit.TRUE
    return _dit.make_dit(size, device, make_tokenizer, randomize)


def measure(model, size, given, network):
    """All of the table, and a row."""
    prompts = [f"a {word}" for word in WORDS]
    row_name = ("tiny " if given.tiny else "") + {"unet": "sd14", "dit": "sd3"}[network]
    row = {"parameters": sum(p.numel() for p in network_of(model.pipeline).parameters())}
    peak, work = matmul_rate(size["product"], model), flops(model)
    tell(row, gflop_per_prediction=round(work / 1e9, 1), matmul_peak_tflops=round(peak / 1e12, 2))
    rates = bare_rates(model, size["batches"], given.seconds)
    print("bare:", ", ".join(f"{rate:.1f}/s at {n}" for n, rate in rates.items()), flush=True)
    best = max(rates, key=rates.__getitem__)
    used_memory(model.device)  # from here on
    n = size["prompts"]
    first, _ = cold_matrix(model, prompts[:n], 1, batch_size=best)  # the card's kernels are chosen
    engine, spent = cold_matrix(model, prompts[-n:], 1, batch_size=best)
    engine_memory = used_memory(model.device)
    bare = (rates[best] + bare_rate(model, best, given.seconds)) / 2
    tell(row, compile=given.compile, best_batch=best, bare_per_second=round(bare, 1))
    tell(row, bare_of_peak=round(bare * work / peak, 3), engine_predictions=spent)
    tell(row, first_engine_of_bare=round(first / bare, 3))
    tell(row, engine_per_second=round(engine, 1), engine_of_bare=round(engine / bare, 3))
    tell(row, engine_of_peak=round(engine * work / peak, 3))
    tell(row, pipeline_per_second=round(pipeline_rate(model, best, given.seconds), 1))
    tell(row, bare_gib=used_memory(model.device), engine_gib=engine_memory)
    paired, sts = pairs_rate(model, prompts, size["pairs"], best)
    used_memory(model.device)
    tell(row, pairs_per_second=round(paired, 1), sts_b_minutes=round(sts / paired / 60, 1))
    vectors = vectors_rate(model, prompts[:n], best)
    tell(row, vectors_per_second=round(vectors, 2), vectors_gib=used_memory(model.device))
    append_row("gpu", model, model=row_name, **row)
    if network == "dit":  # Algorithm 1 is written for the UNet's pipeline
        return
    warnings.filterwarnings("ignore", ".*of the divergence lies at the last noise level")
    warnings.filterwarnings("ignore", "n_draws=1")
    n, steps = size["reference"]
    options = {"model": row_name, "steps": steps, "draws": 1, "repeats": 1, "together": False}
    for guidance in (1.0, 5.0):
        algorithm_1.compare(model, prompts[:n], guidance, argparse.Namespace(**options))


def tell(row, **figures):
    """Print figures as soon as they are there, and keep them."""
    for name, value in figures.items():
        print(f"{name:24}{value}", flush=True)
    row |= figures


def make_pipeline(size, device):
    """Stable Diffusion with random weights that keep signals, and what prompts change, loud."""
    with torch.device(device):
        unet = UNet2DConditionModel(layers_per_block=2, **size["unet"])
        tokenizer = make_tokenizer()
        text = CLIPTextConfig(
            vocab_size=49408,
            hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **size["text"],
        )
        encoder = CLIPTextModel(text)
        vae = AutoencoderKL(  # nothing is decoded: a small one of the true shape
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8,) * 4,
            norm_num_groups=2,
            latent_channels=4,
        )
    for module in (unet, encoder, vae):
        randomize(module.eval().requires_grad_(False))
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
    )
    return StableDiffusionPipeline(
        vae, encoder, tokenizer, unet, scheduler, None, None, requires_safety_checker=False
    )


def make_tokenizer():
    """CLIP's kind, which knows letters only."""
    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, *(c + "</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)


def randomize(module):
    """Weights of variance 1 / fan-in, tables of variance 1."""
    tables = {id(m.weight) for m in module.modules() if isinstance(m, torch.nn.Embedding)}
    for weight in module.parameters():
        if weight.ndim > 1:
            weight.normal_(std=1 if id(weight) in tables else weight[0].numel() ** -0.5)


def matmul_rate(n, model):
    """Floating-point operations per second of a product of two (n, n) matrices."""
    left, right = (torch.randn(n, n, device=model.device, dtype=model.dtype) for _ in range(2))
    for _ in range(3):
        left @ right
    start = stop_clock(model.device)
    for _ in range(20):
        left @ right
    return 20 * 2 * n**3 / (stop_clock(model.device) - start)


@torch.no_grad()
def flops(model):
    """Operations of one prediction: products, convolutions and attention."""
    network, args, kwargs = call_of(model, 1)
    with FlopCounterMode(display=False) as counter:
        network(*args, **kwargs)
    return counter.get_total_flops()


def bare_rates(model, batches, seconds):
    """Predictions per second of the bare UNet at each size that fits."""
    rates = {}
    for batch in batches:
        try:
            rates[batch] = bare_rate(model, batch, seconds)
        except torch.OutOfMemoryError:
            break
    return rates


def pairs_rate(model, prompts, n_pairs, batch):
    """Predictions per second on pairs of which no text repeats, and how many STS-B would take."""
    texts = [f"{a} {i}" for i, a in enumerate((prompts * 2)[: 2 * n_pairs])]
    start = stop_clock(model.device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = paired_divergence(
            texts[::2],
            texts[1::2],
            model=model,
            n_draws=1,
            check_steps=0,
            memory=None,
            batch_size=batch,
        )
    rate = found.n_evaluations / (stop_clock(model.device) - start)
    return rate, found.n_evaluations * STS_B / n_pairs


def vectors_rate(model, prompts, batch):
    """Prompts per second of an embedding whose pool is there."""
    embedding = ConjureEmbedding(model, n_references=2, memory=None, batch_size=batch)
    embedding.fit(prompts[:2])
    start = stop_clock(model.device)
    embedding.transform(prompts[2:])
    return (len(prompts) - 2) / (stop_clock(model.device) - start)


def used_memory(device):
    """GiB of the GPU at their highest since the last call; none elsewhere."""
    if device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated(device) / 2**30
    torch.cuda.reset_peak_memory_stats(device)
    return round(peak, 2)


if __name__ == "__main__":
    main()
