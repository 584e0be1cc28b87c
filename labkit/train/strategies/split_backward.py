"""A backward in two halves: the gradient of the input first, those of the weights later.

The graph that autograd has recorded is a set of nodes, one per operation, with edges to the nodes
that made its inputs. Some nodes lie between the output and the input; at such a node edges branch
off to weights. The first half runs through the nodes between, computes nothing for the edges that
branch off, and notes the gradient that entered each node with such an edge. The second half takes
up those gradients: each of the nodes computes what goes along the edges to its weights.

Source: Qi et al. 2024, arXiv:2401.10241.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

Gradients = tuple[Tensor | None, ...]


class _Junction(NamedTuple):
    """A node between output and input with edges that branch off."""

    node: Node
    onward: list[Node]  # between it and the input
    to_weights: list[GradientEdge]
    entered: list[Tensor | None]  # gradients, one per output of the node


class SplitBackward:
    """One backward; making it runs the first half.

    Args:
        y: what the graph ends with.
        output_grad: gradient of y; ``None`` for a scalar whose gradient is 1.
        x: the input, a leaf that requires a gradient.

    Attributes:
        input_grad: gradient of x.
    """

    def __init__(self, y: Tensor, output_grad: Tensor | None, x: Tensor) -> None:
        self._junctions = find_junctions(get_gradient_edge(y).node, get_gradient_edge(x).node)
        hooks = [j.node.register_prehook(_note_in(j.entered)) for j in self._junctions]
        # The second half runs through the junctions again, so they keep what they have saved.
        (self.input_grad,) = torch.autograd.grad(y, x, output_grad, retain_graph=True)
        for hook in hooks:
            hook.remove()

    def finish(self) -> None:
        """The second half: add to the gradients of the weights. To be called once."""
        uses = Counter(edge for junction in self._junctions for edge in junction.to_weights)
        is_reused = any(count > 1 for count in uses.values())
        edges: list[GradientEdge] = []
        gradients: list[Tensor] = []
        for node, onward, to_weights, entered in self._junctions:
            # Where a weight is used again further on, nothing must run on to there: the junction
            # there has a gradient of its own.
            stops = [after.register_prehook(_nothing) for after in onward] if is_reused else []
            known = [(i, grad) for i, grad in enumerate(entered) if grad is not None]
            edges += to_weights
            gradients += torch.autograd.grad(
                [GradientEdge(node, i) for i, _ in known],
                to_weights,
                [grad for _, grad in known],
                retain_graph=is_reused,
            )
            for stop in stops:
                stop.remove()
        self._junctions = []
        if edges:
            torch.autograd.backward(edges, gradients)


def find_junctions(start: Node, end: Node) -> list[_Junction]:
    """The nodes between two nodes of a graph, as far as edges branch off to weights there.

    Args:
        start: where the backward begins.
        end: where the gradient of the input arrives.
    """
    leads_to_end = {end: True}
    todo = [start]
    while todo:
        after = [node for node, _ in todo[-1].next_functions if node is not None]
        unknown = [node for node in after if node not in leads_to_end]
        if unknown:
            todo += unknown
        else:
            leads_to_end[todo.pop()] = any(leads_to_end[node] for node in after)
    junctions = []
    for node, is_between in leads_to_end.items():
        if not is_between or node is end:
            continue
        edges = dict.fromkeys(
            GradientEdge(after, number)
            for after, number in node.next_functions
            if after is not None
        )
        to_weights = [edge for edge in edges if not leads_to_end[edge.node]]
        onward = [edge.node for edge in edges if leads_to_end[edge.node]]
        if to_weights:
            junctions.append(_Junction(node, onward, to_weights, []))
    return junctions


def _note_in(entered: list[Tensor | None]) -> Callable[[Gradients], None]:
    return lambda gradients: entered.extend(gradients)


def _nothing(gradients: Gradients) -> Gradients:
    return (None,) * len(gradients)
