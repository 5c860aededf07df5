"""Weights for timm and as plain safetensors.

timm's folder holds `config.json` and `model.safetensors`, so that
`timm.create_model("local-dir:FOLDER", pretrained=True)` builds the encoder with its weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.durable import made_beside
from engine.errors import MethodError
from engine.inspections.opened import OpenedRun
from engine.networks.encoders import TimmEncoder
from engine.networks.vit import ViT
from engine.protocol.schema import FieldKind, assign
from engine.views.pixels import channel_statistics

CLOSE = 1e-3  # largest difference between features here and in timm, relative to their size
_ARCHITECTURE = "vit_base_patch16_224"  # every size of it is given by arguments


def encoder_of(run: OpenedRun) -> nn.Module:
    """Return the network that `embed` of the run's model looks with.

    Raises:
        MethodError: the method has no single encoder.
    """
    encoder = getattr(run.model, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise MethodError(
            f"{run.method.title} has no single encoder that could be handed on.",
            "Export the whole network with --format safetensors, or its features with selfsight embed.",
        )
    return encoder


def write_safetensors(run: OpenedRun, out: Path) -> dict[str, Any]:
    """Write all weights and buffers of the run's network, in our names, with what they belong to as metadata.

    Returns:
        `{format, out, parameters, tensors}`.
    """
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in run.model.state_dict().items()}
    metadata = {
        "format": "pt",
        "method": run.method.id,
        "run": run.folder.name,
        "step": str(run.step),
        "config": json.dumps(run.spec.config, sort_keys=True, default=str),
    }
    with made_beside(out) as partial:
        save_file(state, partial, metadata=metadata)
    parameters = sum(parameter.numel() for parameter in run.model.parameters())
    return {"format": "safetensors", "out": str(out), "parameters": parameters, "tensors": len(state)}


def write_timm(run: OpenedRun, out: Path) -> dict[str, Any]:
    """Write the encoder as a folder that timm opens, after timm has opened it and given the same features.

    Returns:
        `{format, out, parameters, architecture, difference}`; the difference is the largest one of the features of
        eight pictures, relative to the largest feature.

    Raises:
        MethodError: timm has no such network, or its features differ.
    """
    encoder = encoder_of(run)
    config, state = describe_for_timm(run, encoder)
    with made_beside(out, folder=True) as partial:
        (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        save_file(state, partial / "model.safetensors", metadata={"format": "pt"})
        difference = _difference(run, partial, int(config["pretrained_cfg"]["input_size"][1]))
        if difference > CLOSE:
            raise MethodError(
                f"timm's features of this encoder differ from ours by {difference:.2g} of their size.",
                "Export it with --format safetensors instead, and report this.",
            )
    return {
        "format": "timm",
        "out": str(out),
        "parameters": sum(tensor.numel() for tensor in state.values()),
        "architecture": config["architecture"],
        "difference": difference,
    }


def describe_for_timm(run: OpenedRun, encoder: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return timm's `config.json` and the weights under timm's names.

    Raises:
        MethodError: timm has no such network.
    """
    if isinstance(encoder, TimmEncoder):
        own = dict(encoder.network.pretrained_cfg or {})
        architecture = str(own.get("architecture", ""))
        size = int((own.get("input_size") or (3, 224, 224))[1])
        channels = _channels(encoder.network.state_dict())
        arguments: dict[str, Any] = {"in_chans": channels}
        state, pool = dict(encoder.network.state_dict()), str(getattr(encoder.network, "global_pool", "avg"))
        size = int(getattr(run.config, "image_px", size))
        if hasattr(encoder.network, "patch_embed"):
            arguments["img_size"] = size
    elif isinstance(encoder, ViT) and len(encoder.size) == 2:
        architecture, size, channels = _ARCHITECTURE, encoder.size[0], encoder.channels
        arguments, state, pool = _vit_arguments(encoder), _vit_state(encoder), _pool_of(run, encoder)
        arguments["global_pool"] = pool
    else:
        raise MethodError(
            f"timm has no network like the encoder of this run ({type(encoder).__name__}).",
            "Export it with --format safetensors, onnx or torchscript.",
        )
    mean, std = _statistics(run, channels)
    config = {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": int(encoder.dim),  # type: ignore[arg-type]
        "model_args": arguments,
        "pretrained_cfg": {
            "tag": run.folder.name,
            "custom_load": False,
            "input_size": [channels, size, size],
            "fixed_input_size": "img_size" in arguments,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": list(mean),
            "std": list(std),
            "num_classes": 0,
            "pool_size": None,
        },
    }
    if isinstance(encoder, TimmEncoder):
        config["global_pool"] = pool
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    return config, weights


def _channels(state: Mapping[str, Tensor]) -> int:
    """Return the channels that the first convolution takes."""
    return next(int(tensor.shape[1]) for tensor in state.values() if tensor.ndim == 4)


def _vit_arguments(encoder: ViT) -> dict[str, Any]:
    block: Any = encoder.blocks[0]
    scale = getattr(block.ls1, "gamma", None)
    return {
        "img_size": list(encoder.size),
        "patch_size": encoder.patch[0] if len(set(encoder.patch)) == 1 else list(encoder.patch),
        "in_chans": encoder.channels,
        "embed_dim": encoder.dim,
        "depth": encoder.depth,
        "num_heads": encoder.heads,
        "mlp_ratio": block.mlp.fc1.out_features / encoder.dim,
        "class_token": encoder.cls_token is not None,
        "reg_tokens": 0 if encoder.reg_token is None else encoder.reg_token.shape[1],
        "init_values": None if scale is None else 1.0,
        "final_norm": isinstance(encoder.norm, nn.LayerNorm),
        "fc_norm": False,
        "qkv_bias": True,
    }


def _vit_state(encoder: ViT) -> dict[str, Tensor]:
    """Return the encoder's weights as timm has them: one bias for queries, keys and values; no mask token."""
    state = dict(encoder.state_dict())
    state.pop("mask_token", None)
    state["pos_embed"] = encoder.pos_embed
    for name in [name for name in state if name.endswith("attn.q_bias")]:
        root = name.removesuffix("q_bias")
        query, value = state.pop(name), state.pop(f"{root}v_bias")
        state[f"{root}qkv.bias"] = torch.cat((query, torch.zeros_like(query), value))
    return state


def _example(run: OpenedRun, count: int = 8) -> Any:
    indices = run.dataset.select(None)[:count]
    batch = next(iter(run.loader(split=None).in_order(indices, len(indices))))
    return batch.to(next(run.model.parameters()).device)


def _pictures(run: OpenedRun, size: int) -> tuple[Tensor, Tensor]:
    """Return pictures (B, C, s, s) as the encoder gets them, and what `embed` says of them (B, E)."""
    from engine.views.pixels import evaluation_view

    batch = _example(run)
    learner: Any = run.model
    with torch.no_grad():
        pooled = learner.embed(batch).pooled.float().cpu()
    return evaluation_view(batch, _picture_key(run), size).cpu(), pooled


def _picture_key(run: OpenedRun) -> str:
    """Return the key of the need that is a picture."""
    for need in run.method.needs:
        if FieldKind.IMAGE in need.kinds:
            return need.key
    raise MethodError(
        f"{run.method.title} does not look at single pictures, so timm has no place for its encoder.",
        "Export it with --format safetensors.",
    )


def _statistics(run: OpenedRun, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    spec = assign(run.method.needs, run.schema)[_picture_key(run)]
    return channel_statistics(spec, channels)


def _pool_of(run: OpenedRun, encoder: ViT) -> str:
    """Return which of timm's poolings gives what `embed` gives: "token" or "avg"."""
    pictures, pooled = _pictures(run, encoder.size[0])
    with torch.no_grad():
        tokens = encoder(pictures.to(next(encoder.parameters()).device)).float().cpu()
    ways = {"avg": tokens[:, encoder.prefix :].mean(dim=1)}
    if encoder.cls_token is not None:
        ways["token"] = tokens[:, 0]
    fitting = {way: float((found - pooled).abs().max()) for way, found in ways.items() if found.shape == pooled.shape}
    if not fitting or min(fitting.values()) > CLOSE * float(pooled.abs().max()):
        raise MethodError(
            f"{run.method.title} takes its features neither from the class token nor from the mean of its patches, "
            "which is all that timm knows.",
            "Export it with --format onnx or torchscript, which keep the whole computation.",
        )
    return min(fitting, key=fitting.__getitem__)


def _difference(run: OpenedRun, folder: Path, size: int) -> float:
    import timm

    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    pictures, pooled = _pictures(run, size)
    with torch.no_grad():
        theirs = network(pictures).float()
    return float((theirs - pooled).abs().max() / pooled.abs().max().clamp_min(1e-12))
