"""A profile survives JSON."""

from __future__ import annotations

import json

from labkit.project.profile import ModelProfile


def test_a_profile_comes_back_from_json_as_it_was(profile: ModelProfile) -> None:
    assert ModelProfile.from_dict(json.loads(json.dumps(profile.to_dict()))) == profile


def test_parameter_bytes_add_up_over_layers(profile: ModelProfile) -> None:
    assert profile.layers[1].num_parameter_bytes == 80_800
    assert profile.num_parameter_bytes == 2_400 + 6 * 80_800 + 808
