"""Weights from timm and back: its plain `VisionTransformer` and our `ViT` over two axes are the same network."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.networks.vit import ViT

_HINT = 'Create it with timm\'s plain VisionTransformer, num_classes=0 and global_pool="token".'


def from_timm(model: nn.Module) -> ViT:
    """Return our transformer with the weights of a plain timm `VisionTransformer`; its tokens are the same.

    Positions that timm adds to registers are folded into the registers. A classifier is left behind.

    Raises:
        ConfigError: the model has parts that ours lacks.
    """
    if not isinstance(model, VisionTransformer):
        raise ConfigError(f"{type(model).__name__} is not a plain vision transformer.", _HINT)
    source: Any = model
    if not isinstance(source.blocks[0], Block):
        raise ConfigError("This timm model's blocks are not the plain ones.", _HINT)
    block: Any = source.blocks[0]
    patch = tuple(int(side) for side in source.patch_embed.patch_size)
    grid = tuple(int(side) for side in source.patch_embed.grid_size)
    has_class = source.cls_token is not None
    registers = 0 if source.reg_token is None else int(source.reg_token.shape[1])
    width = int(source.embed_dim)
    ours = ViT(
        size=tuple(side * step for side, step in zip(grid, patch, strict=True)),
        patch=patch,
        channels=int(source.patch_embed.proj.weight.shape[1]),
        dim=width,
        depth=len(source.blocks),
        heads=int(block.attn.num_heads),
        mlp_ratio=block.mlp.fc1.out_features / width,
        class_token=has_class,
        registers=registers,
        positions="learned",
        layer_scale=float(block.ls1.gamma.detach().flatten()[0]) or 1.0 if hasattr(block.ls1, "gamma") else 0.0,
        norm_eps=float(block.norm1.eps),
        pool="class" if source.global_pool == "token" else "mean",
    )
    state = {name: value for name, value in source.state_dict().items() if not name.startswith("head.")}
    if source.patch_embed.proj.bias is None:
        state["patch_embed.proj.bias"] = torch.zeros(width)
    _place_positions(state, ours.prefix if not source.no_embed_class else 0, has_class=has_class)
    _check_parts(block, set(state) ^ set(ours.state_dict()))
    ours.load_state_dict(state)
    return ours


def _place_positions(state: dict[str, Tensor], positioned: int, *, has_class: bool) -> None:
    """Bring timm's table (1, positioned + N, D) to ours (1, class + N, D), in place."""
    table = state["pos_embed"]
    if positioned > int(has_class):  # registers have positions, too
        state["reg_token"] = state["reg_token"] + table[:, int(has_class) : positioned]
        table = torch.cat((table[:, : int(has_class)], table[:, positioned:]), dim=1)
    elif has_class and not positioned:
        table = torch.cat((torch.zeros_like(table[:, :1]), table), dim=1)
    state["pos_embed"] = table


def _check_parts(block: Any, different: set[str]) -> None:
    if different:
        raise ConfigError(f"This timm model differs from a plain one in {', '.join(sorted(different)[:4])}.", _HINT)
    if not isinstance(block.mlp.act, nn.GELU):
        raise ConfigError(f"This timm model's activation is {type(block.mlp.act).__name__}, not GELU.", _HINT)


def to_timm(vit: ViT) -> nn.Module:
    """Return timm's `VisionTransformer` with the weights of `vit`; `forward_features` gives the same tokens.

    Sine tables become its position parameter; with registers, the class token's position is folded into the token.
    A mask token is left behind.

    Raises:
        ConfigError: `vit` is not two-dimensional, or has no norm at its end.
    """
    if len(vit.size) != 2:
        raise ConfigError(f"timm has no transformer over {len(vit.size)} axes.", "Export the weights as safetensors.")
    if not isinstance(vit.norm, nn.LayerNorm):
        raise ConfigError("timm's transformer ends with a norm, and this one does not.", "Export it as safetensors.")
    block: Any = vit.blocks[0]
    has_class = vit.cls_token is not None
    registers = 0 if vit.reg_token is None else vit.reg_token.shape[1]
    model = VisionTransformer(
        img_size=vit.size,
        patch_size=(vit.patch[0], vit.patch[1]),
        in_chans=vit.channels,
        num_classes=0,
        global_pool="token" if vit.pool == "class" else "avg",
        embed_dim=vit.dim,
        depth=vit.depth,
        num_heads=vit.heads,
        mlp_ratio=block.mlp.fc1.out_features / vit.dim,
        init_values=1.0 if hasattr(block.ls1, "gamma") else None,
        class_token=has_class,
        no_embed_class=registers > 0 or not has_class,
        reg_tokens=registers,
        fc_norm=False,
        norm_layer=partial(nn.LayerNorm, eps=vit.norm.eps),
        weight_init="skip",
    )
    state = {name: value for name, value in vit.state_dict().items() if name != "mask_token"}
    if registers and has_class:
        state["cls_token"] = state["cls_token"] + state["pos_embed"][:, :1]
        state["pos_embed"] = state["pos_embed"][:, 1:]
    for name in [name for name in state if name.endswith(".q_bias")]:
        stem = name.removesuffix("q_bias")
        query, value = state.pop(name), state.pop(f"{stem}v_bias")
        state[f"{stem}qkv.bias"] = torch.cat((query, torch.zeros_like(query), value))
    model.load_state_dict(state)
    return model
