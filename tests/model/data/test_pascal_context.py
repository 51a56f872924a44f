"""PASCAL-Context from files written here in the formats of its distribution: JPEG, PNG and MATLAB structures."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from moesaic.errors import UserError
from moesaic.model.data.pascal_context import CLASSES, PART_CLASSES, PascalContext
from moesaic.model.data.registry import open_dataset

HEIGHT, WIDTH = 20, 24
PERSON, CAR = 15, 7
WALL, SKY, TV_MONITOR = 440, 360, 427  # of PASCAL-Context; the network that made the normals knows no sky


def masks(*boxes):
    for top, bottom, left, right in boxes:
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[top:bottom, left:right] = 1
        yield mask


def annotation(*objects):
    """A structure `anno` as MATLAB wrote it; objects are (class index, mask, {part name: mask})."""
    fields = [("class", object), ("class_ind", object), ("mask", object), ("parts", object)]
    stored = np.zeros((1, len(objects)), fields)
    for i, (kind, mask, parts) in enumerate(objects):
        inner = np.zeros((1, len(parts)), [("part_name", object), ("mask", object)])
        for j, part in enumerate(parts.items()):
            inner[0, j] = part
        stored[0, i] = (
            "person" if kind == PERSON else "car",
            np.uint8(kind),
            mask,
            inner if parts else np.zeros((0, 0)),
        )
    anno = np.zeros((1, 1), [("imname", object), ("objects", object)])
    anno[0, 0] = "2008_000003", stored
    return {"anno": anno}


def two_people():
    whole, head, arm, foot, other = masks((2, 18, 2, 10), (2, 5, 2, 10), (5, 12, 2, 4), (15, 18, 4, 8), (0, 9, 14, 20))
    wheel, nothing = masks((0, 3, 0, 3), (0, 0, 0, 0))
    return annotation(
        (PERSON, whole, {"head": head, "hair": nothing, "llarm": arm, "rfoot": foot}),
        (CAR, other, {"wheel_1": wheel}),
        (PERSON, other, {"ruleg": other}),
    )


def write(root):
    directories = (
        "JPEGImages",
        "ImageSets/Context",
        "semseg/VOC12",
        "semseg/pascal-context",
        "pascal-context/trainval",
    )
    for directory in (*directories, "human_parts", "normals_distill", "sal_distill"):
        (root / directory).mkdir(parents=True)
    (root / "ImageSets/Context/train.txt").write_text("2008_000003\n2010_000090\n")
    rng = np.random.default_rng(0)
    for name, folder in (("2008_000003", "VOC12"), ("2010_000090", "pascal-context")):
        grey = Image.fromarray(np.full((HEIGHT, WIDTH), 90, np.uint8))
        grey.save(root / "JPEGImages" / f"{name}.jpg")  # JPEG of one channel, as a few of PASCAL's are
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        labels[2:18, 2:10], labels[0, 0] = PERSON, 255
        picture = Image.fromarray(labels).convert("P")
        picture.putpalette(rng.integers(0, 256, 768).astype(np.uint8).tobytes())
        picture.save(root / "semseg" / folder / f"{name}.png")
        context = np.full((HEIGHT, WIDTH), WALL, np.uint16)
        context[:4], context[10:, 12:] = SKY, TV_MONITOR
        savemat(root / "pascal-context/trainval" / f"{name}.mat", {"LabelMap": context})
        normals = np.full((HEIGHT, WIDTH, 3), (128, 255, 128), np.uint8)  # upwards
        normals[:, 12:] = 128, 128, 255  # towards the viewer
        Image.fromarray(normals).save(root / "normals_distill" / f"{name}.png")
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)).save(
            root / "sal_distill" / f"{name}.png"
        )
    savemat(root / "human_parts/2008_000003.mat", two_people())
    savemat(root / "human_parts/2010_000090.mat", annotation((CAR, next(masks((0, 9, 0, 9))), {})))


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "PASCAL_MT")
    return tmp_path / "PASCAL_MT"


def test_the_fixture_has_the_nesting_that_the_papers_loaders_index(root):
    objects = loadmat(root / "human_parts/2008_000003.mat")["anno"][0][0][1][0]
    assert len(objects) == 3 and objects[0][1][0][0] == PERSON and objects[0][2].shape == (HEIGHT, WIDTH)
    assert str(objects[0][3][0][2][0][0]) == "llarm" and objects[0][3][0][2][1].sum() == 14
    assert len(loadmat(root / "human_parts/2010_000090.mat")["anno"][0][0][1][0][0][3]) == 0


def test_segmentation_is_the_index_into_the_palette(root):
    dataset = PascalContext(root, "train")
    assert len(dataset) == 2 and dataset.tasks["segmentation"] == len(CLASSES) == 21 and CLASSES[PERSON] == "person"
    for sample in (dataset[0], dataset[1]):
        labels = sample.targets["segmentation"]
        assert labels[5, 5] == PERSON and labels[0, 0] == 255 and (labels == PERSON).sum() == 16 * 8
        assert sample.image.shape == (HEIGHT, WIDTH, 3) and np.abs(sample.image.astype(int) - 90).max() <= 2


def test_parts_of_all_people_and_of_nothing_else(root):
    dataset = PascalContext(root, "train")
    assert dataset.tasks["parts"] == 7
    parts = dataset[0].targets["parts"]
    names = np.array(PART_CLASSES)[parts]
    assert names[3, 3] == "head" and names[8, 3] == "lower arm" and names[16, 5] == "lower leg"
    assert names[4, 16] == "upper leg" and names[10, 5] == "background" and names[1, 1] == "background"
    counts = np.bincount(parts.ravel(), minlength=7)
    assert counts[1:].tolist() == [24, 0, 0, 14, 54, 12]
    assert (dataset[1].targets["parts"] == 255).all()


def test_saliency_is_more_than_one_half(root):
    stored = np.asarray(Image.open(root / "sal_distill/2008_000003.png"))
    assert 127 in stored and 128 in stored
    assert np.array_equal(PascalContext(root, "train")[0].targets["saliency"], (stored / 255 > 0.5).astype(np.uint8))


def test_normals_are_turned_to_our_axes_and_hold_only_on_known_classes(root):
    normals = PascalContext(root, "train")[0].targets["normals"]
    assert np.array_equal(normals[:4], np.zeros((4, WIDTH, 3)))  # the sky
    assert np.abs(normals[4:, :12] - [0, -1, 0]).max() < 0.01 and np.abs(normals[4:, 12:] - [0, 0, -1]).max() < 0.01
    assert np.abs(np.linalg.norm(normals[4:], axis=-1) - 1).max() < 1e-6


def test_edges_run_where_classes_meet_one_pixel_wide(root):
    edges = PascalContext(root, "train")[0].targets["edges"]
    rows, columns = np.nonzero(edges)
    assert set(rows[columns < 11]) <= {3, 4} and edges[3:5, :11].sum() == 11
    assert edges[:3].sum() == edges[6:9].sum() == edges[12:, :11].sum() == edges[12:, 14:].sum() == 0
    assert (edges[12:, 11:13].sum(1) == 1).all()


def test_what_is_missing_is_named(root, tmp_path):
    (root / "human_parts/2010_000090.mat").unlink()
    with pytest.raises(UserError, match=r"2010_000090.mat is missing: download PASCAL_MT.tgz .*human_parts/"):
        PascalContext(root, "train")
    assert len(open_dataset("pascal-context", root, "train", 16, 16, tasks=["segmentation"])) == 2
    with pytest.raises(UserError, match=r"Context.val.txt is missing"):
        PascalContext(root, "val")
    with pytest.raises(UserError, match="no directory: download PASCAL_MT"):
        PascalContext(tmp_path / "other", "train")


@pytest.mark.parametrize(
    ("file", "content", "task", "message"),
    [
        ("human_parts", {"objects": 1}, "parts", r"no variable 'anno', but objects"),
        ("human_parts", {"anno": np.zeros(3)}, "parts", r"no annotation of PASCAL-Part"),
        ("human_parts", annotation((PERSON, np.ones((4, 4)), {"tail": np.ones((4, 4))})), "parts", r"part 'tail'"),
        ("human_parts", annotation((PERSON, np.ones((4, 5)), {"head": np.ones((4, 5))})), "parts", r"5x4 .* 24x20"),
        ("pascal-context/trainval", {"LabelMap": np.full((20, 24), 460)}, "edges", r"up to 460, not .* up to 459"),
        ("pascal-context/trainval", {"LabelMap": np.ones((20, 25), np.uint16)}, "normals", r"\(20, 24\).*\(20, 25\)"),
    ],
    ids=["variable", "structure", "part", "size", "label", "sizes"],
)
def test_damaged_files_are_named_with_both_numbers(root, file, content, task, message):
    savemat(root / file / "2008_000003.mat", content)
    dataset = PascalContext(root, "train", [task])
    with pytest.raises(UserError, match=message):
        dataset[0]


@pytest.mark.parametrize("length", [0, 3, 100, 127, 140, 300])
@pytest.mark.parametrize("file", ["human_parts", "pascal-context/trainval"])
def test_files_that_end_early_are_named(root, file, length):
    path = root / file / "2008_000003.mat"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match=r"2008_000003.mat") as error:
        PascalContext(root, "train", ["parts", "edges"])[0]
    assert "\n" not in str(error.value)
