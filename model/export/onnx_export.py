"""The float network as ONNX: one file with all tasks, and one file per task with only that task's routers and head.

Input `image`: float32 [1, 3, height, width], normalised as the model's input description says (pixel / 127.5 - 1 by default). There is one
output per task, named after it: the prediction, float32 [1, channels, h, w]. Where the description of the input or of an output is not
the default, the file's metadata state it as JSON under "input" and "output.TASK". In these graphs every expert processes every token;
scores of experts not chosen are 0.
"""

import contextlib
import copy
import io
import json
import logging
import warnings
from collections.abc import Mapping
from typing import cast

import onnx
import torch
from torch import Tensor, nn

from moesaic.errors import InternalError
from moesaic.model.network.routers import Router
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.pathway import moe_blocks

OPSET = 18


class _Tasks(nn.Module):
    """The model's predictions for the given tasks, in order."""

    def __init__(self, model: M3ViT, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.tasks = model, tasks

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        predictions, _ = self.model.training_forward(image, self.tasks)
        return tuple(predictions[task] for task in self.tasks)


def onnx_files(model: M3ViT) -> dict[str, bytes]:
    """The float network's ONNX files by name: model.onnx with every task, model.TASK.onnx with one. The model may have any head."""
    names = model.configuration.task_names
    return {"model.onnx": export_onnx(model, names)} | {
        f"model.{task}.onnx": export_onnx(model, (task,)) for task in names
    }


def export_onnx(model: M3ViT, tasks: tuple[str, ...]) -> bytes:
    """An ONNX file of the given tasks on the model's current pathways; equal models give equal bytes. UserError for a control's gate."""
    c = model.configuration
    c.require_linear_gate()
    model = copy.deepcopy(model).cpu().eval()
    for moe in moe_blocks(model).values():
        moe.all_experts = True
        routers = nn.ModuleDict({name: router for name, router in moe.routers.items() if name in (*tasks, "all")})
        moe.routers = cast("Mapping[str, Router]", routers)
    model.heads = cast("Mapping[str, nn.Module]", nn.ModuleDict({task: model.heads[task] for task in tasks}))
    image = torch.zeros(1, 3, c.image_height, c.image_width)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Tasks(model, tasks),
                (image,),
                input_names=["image"],
                output_names=list(tasks),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    if program is None:
        raise InternalError("PyTorch's exporter gave no program")
    proto = program.model_proto
    _strip(proto)
    stated = {"input": c.input.to_dict()} | {f"output.{task}": c.task(task).output.to_dict() for task in tasks}
    onnx.helper.set_model_props(proto, {name: json.dumps(values) for name, values in stated.items() if values})
    onnx.checker.check_model(proto)
    return proto.SerializeToString(deterministic=True)


def _strip(proto: onnx.ModelProto) -> None:
    """Remove the exporter's annotations in place; they contain source paths of the local machine."""
    del proto.metadata_props[:]
    proto.doc_string = ""
    for graph in (proto.graph, *proto.functions):
        graph.doc_string = ""
        del graph.metadata_props[:]
        for part in (*graph.node, *graph.value_info):
            part.doc_string = ""
            del part.metadata_props[:]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
