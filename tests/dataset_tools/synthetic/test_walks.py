"""Ways through a camera's view: geometry, gait and direction."""

import dataclasses

import numpy as np
import pytest

from fully_decoupled_ps.dataset_tools.synthetic.camera import CAMERAS
from fully_decoupled_ps.dataset_tools.synthetic.identity import sample_identities
from fully_decoupled_ps.dataset_tools.synthetic.walks import (
    Walk,
    sample_walk,
    to_ground,
    to_image,
)

ASPECT, FPS = 16 / 9, 10
PERSON = sample_identities(1, seed=0)[0]


def walks(camera, number=20):
    rng = np.random.default_rng(3)
    return [sample_walk(camera, PERSON, ASPECT, FPS, rng) for _ in range(number)]


def test_points_on_the_ground_by_hand():
    """A camera 2 m high with focal length 1 and its horizon at 0.25, 4 m away: 1/4 per metre."""
    camera = dataclasses.replace(CAMERAS[0], height=2.0, focal=1.0, horizon=0.25)
    feet, scales = to_image(camera, np.array([[0.0, 4.0], [1.0, 4.0]]), 1.6)
    assert feet == pytest.approx(np.array([[0.8, 0.75], [1.05, 0.75]]))
    assert scales == pytest.approx([0.25, 0.25])
    assert to_ground(camera, (1.05, 0.75), 1.6) == pytest.approx([1.0, 4.0])


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.name)
class TestWalks:
    def test_they_begin_and_end_outside_the_frame_and_lead_through_it(self, camera):
        for walk in walks(camera):
            feet, scale = to_image(camera, walk.ground, ASPECT)
            half = 0.4 * scale  # metres of a body and its arms
            beside = (feet[:, 0] + half < 0) | (feet[:, 0] - half > ASPECT)
            outside = beside | (feet[:, 1] - 1.5 * scale > 1)
            assert outside[0] and outside[-1]
            assert (~outside).mean() > 0.5

    def test_people_are_as_tall_as_the_benchmarks_while_their_feet_are_in_the_frame(self, camera):
        low, high = camera.person_heights
        for walk in walks(camera):
            feet, scale = to_image(camera, walk.ground, ASPECT)
            tall = 1.7 * scale[feet[:, 1] < 1]
            assert tall.min() > 0.95 * low and tall.max() < 1.05 * high

    def test_nobody_runs_and_some_stop(self, camera):
        speeds = [np.hypot(*np.diff(walk.ground, axis=0).T) * FPS for walk in walks(camera)]
        assert max(speed.max() for speed in speeds) < 1.45
        stopping = [(speed < 0.01).any() for speed in speeds]
        assert 0.3 < np.mean(stopping) < 0.95

    def test_who_stands_keeps_still(self, camera):
        for walk in walks(camera):
            still = np.hypot(*np.diff(walk.ground, axis=0).T) < 1e-9
            assert (np.diff(walk.phase)[still] == 0).all()
            # the frame before and the frame after have a part in a frame's pace
            both = still[1:] & still[:-1]
            assert (walk.stride[1:-1][both] == 0).all()

    def test_they_look_where_they_go(self, camera):
        """Whoever moves to the right of the line of sight shows the left side of the body."""
        for walk in walks(camera, 6):
            angle = np.arctan2(walk.ground[:, 0], walk.ground[:, 1])
            distance = np.hypot(*walk.ground.T)
            sideways, nearer = np.gradient(angle), -np.gradient(distance)
            to_side = np.abs(np.sin(walk.yaw)) > 0.5
            ahead = np.abs(np.cos(walk.yaw)) > 0.5
            moving = walk.stride > 0.1
            agree = np.sign(sideways) == np.sign(np.sin(walk.yaw))
            assert agree[moving & to_side].mean() > 0.9
            agree = np.sign(nearer) == np.sign(np.cos(walk.yaw))
            assert agree[moving & ahead].mean() > 0.9


def test_a_full_cycle_of_the_legs_covers_two_steps():
    """A leg of length l that swings by a to both sides steps 2 l sin(a)."""
    walk = walks(CAMERAS[0], 1)[0]
    distance = np.hypot(*np.diff(walk.ground, axis=0).T).sum()
    cycles = (walk.phase[-1] - walk.phase[0]) / (2 * np.pi)
    step = 2 * PERSON.leg_ratio * PERSON.stature * np.sin(walk.stride.max())
    assert distance / cycles == pytest.approx(2 * step, rel=0.05)


def test_a_companion_walks_at_the_right_hand():
    """Towards the camera it is at the left of the frame, away from it at the right."""
    ground, none = np.array([[0.0, 5.0], [0.0, 5.0]]), np.zeros(2)
    walk = Walk(ground, np.array([0.0, np.pi]), none, none)
    assert walk.beside(0.7).ground == pytest.approx(np.array([[-0.7, 5.0], [0.7, 5.0]]))
