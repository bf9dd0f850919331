"""Every flag of the original is accepted; every value that cannot be used is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from capc.errors import ConfigError
from capc.files import REPOSITORY
from capc.fixed_point import RING_BITS
from capc.gc.circuits import MAX_PAYLOAD_BYTES, argmax_circuit, most_classes
from capc.harness.cautions import cautions
from capc.harness.flags import build_parser
from capc.harness.settings import parse_settings, with_classes
from capc.inference.choice import GARBLED, NonlinearChoice
from capc.inference.link import Link

SECURE = json.dumps(
    {
        "scheme_name": "HE_SEAL",
        "poly_modulus_degree": 8192,
        "security_level": 128,
        "coeff_modulus": [47, 24, 24, 24, 30],
    }
)
WEAK = SECURE.replace("128", "0")

ORIGINAL = {
    "session": "capc",
    "log_timing_file": None,
    "n_parties": 1,
    "seed": 2,
    "batch_size": 1,
    "rstar_exp": None,
    "max_logit": 36.0,
    "round_exp": None,
    "user": None,
    "log_level": 0,
    "num_threads": None,
    "qp_id": 0,
    "start_batch": 0,
    "model_type": "cryptonets-relu",
    "input_node": "import/input:0",
    "output_node": "import/output/BiasAdd:0",
    "dataset_path": None,
    "dataset_name": "mnist",
    "debug": False,
    "n_queries": 1,
    "checkpoint_dir": "models/",
    "cpu": False,
    "ignore_parties": False,
    "encryption_params": "config/10.json",
    "start_port": 0,
    "dp_noise_scale": None,
}


def test_the_flags_of_the_original_and_their_defaults() -> None:
    parsed = vars(build_parser("x").parse_args([]))
    for name, default in ORIGINAL.items():
        assert parsed[name] == default


def test_every_flag_has_help_and_there_is_an_example() -> None:
    parser = build_parser("run_experiment.py")
    assert all(action.help for action in parser._actions)
    assert "--n_parties=3" in parser.format_help()


def test_defaults() -> None:
    settings = parse_settings([])
    assert settings.n_parties == 1
    assert settings.privacy.sigma == 0.1
    assert settings.privacy.threshold is None
    assert settings.privacy.epsilon is None
    assert settings.privacy.delta == 1e-5
    assert settings.num_threads == os.cpu_count()
    assert settings.encryption_parameters.coeff_modulus == (47, 24, 24, 24, 30)
    assert settings.checkpoint_dir == REPOSITORY / "models"
    assert settings.insecure_switches == ""
    assert settings.without_effect == ()
    assert settings.nonlinear == GARBLED


def test_paths_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_settings([]).encryption_parameters.poly_modulus_degree == 8192
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "10.json").write_text(SECURE.replace("8192", "16384"))
    assert parse_settings([]).encryption_parameters.poly_modulus_degree == 16384


def test_the_parameters_may_be_the_json_itself() -> None:
    settings = parse_settings([f"--encryption_params={SECURE}"])
    assert settings.encryption_parameters.poly_modulus_degree == 8192


def test_what_is_insecure_is_refused_or_recorded() -> None:
    with pytest.raises(ConfigError, match="insecure"):
        parse_settings([f"--encryption_params={WEAK}"])
    settings = parse_settings([f"--encryption_params={WEAK}", "--insecure", "--verify", "--cpu"])
    assert settings.insecure_switches == "cpu+security_level+verify"


def test_how_non_linear_layers_run() -> None:
    settings = parse_settings(["--nonlinear=auto", "--link=40ms,100mbit"])
    assert settings.nonlinear == NonlinearChoice("auto", Link.parse("40ms,100mbit"))


def test_sigma_has_two_names() -> None:
    assert parse_settings(["--sigma=7"]).privacy.sigma == 7
    assert parse_settings(["--dp_noise_scale=7"]).privacy.sigma == 7
    assert parse_settings(["--dp_noise_scale=7", "--sigma=7.0"]).privacy.sigma == 7
    with pytest.raises(ConfigError, match="give one"):
        parse_settings(["--dp_noise_scale=7", "--sigma=8"])


def test_threshold() -> None:
    privacy = parse_settings(["--threshold=200", "--sigma_threshold=150", "--epsilon=2"]).privacy
    assert (privacy.threshold, privacy.sigma_threshold, privacy.epsilon) == (200, 150, 2)
    with pytest.raises(ConfigError, match="needs --sigma_threshold"):
        parse_settings(["--threshold=200"])
    with pytest.raises(ConfigError, match="needs --threshold"):
        parse_settings(["--sigma_threshold=200"])


@pytest.mark.parametrize("classes", [1000, 1001, 10_000, most_classes()])
def test_models_of_many_classes(classes: int) -> None:
    settings = parse_settings([f"--num_classes={classes}"])
    assert settings.num_classes == classes
    assert with_classes(settings, classes).num_classes == classes


def test_more_classes_than_a_frame_of_tables_holds() -> None:
    assert 32 * argmax_circuit(RING_BITS[-1], 1000, 32).and_count * 10 < MAX_PAYLOAD_BYTES
    classes = most_classes() + 1
    with pytest.raises(ConfigError, match=f"--num_classes is {classes}"):
        parse_settings([f"--num_classes={classes}"])
    with pytest.raises(ConfigError, match=f"num_classes is {classes}"):
        with_classes(parse_settings([]), classes)


def test_a_number_of_400_digits_fits_a_line() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_settings(["--n_queries=" + "9" * 400])
    assert str(refused.value).startswith("--n_queries is 9999")
    assert len(str(refused.value)) < 150


def test_flags_without_effect_are_accepted_and_named() -> None:
    settings = parse_settings(["--rstar_exp=10", "--round_exp=3"])
    assert settings.without_effect == ("rstar_exp", "round_exp")


@pytest.mark.parametrize(
    "flag",
    [
        *("--n_parties=0", "--n_parties=-3", "--n_parties=401", "--n_parties=100000000"),
        *("--n_queries=0", "--n_queries=-1", "--batch_size=0", "--num_classes=1"),
        *("--num_classes=0", "--start_batch=-1", "--seed=-1", "--qp_id=-1", "--log_level=9"),
        *("--ring=40", "--ring=0", "--fraction_bits=3", "--fraction_bits=28"),
        *("--num_threads=0", "--start_port=-5", "--start_port=65535", "--max_logit=0"),
        *("--max_logit=nan", "--max_logit=inf", "--timeout=0", "--timeout=-1", "--sigma=-1"),
        *("--sigma=nan", "--dp_noise_scale=-0.1", "--epsilon=0", "--epsilon=-1", "--epsilon=nan"),
        *("--delta=0", "--delta=1", "--delta=nan", "--dataset_name=imagenet"),
        *("--dataset_path=/no/such/folder", "--encryption_params=/no/such/file"),
        *("--session=a.b", "--session=", "--session=a:b", "--model_type="),
        *("--input_node=", "--output_node=", "--checkpoint_dir=/dev/null"),
        *("--checkpoint_dir=", "--dataset_path=", "--encryption_params=", "--results_dir="),
        *(
            "--log_timing_file=",
            "--session=-x",
            "--session=#(id)",
            "--session=a\nb",
            "--session=$1",
        ),
        *("--nonlinear=emp", "--link=fast", "--link=40ms", "--link=1ms,0mbit"),
        *("--timeout=1e300", "--timeout=nan", "--sigma=1e9", "--dp_noise_scale=1e300"),
    ],
)
def test_a_value_that_cannot_be_used(flag: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_settings([flag])
    assert flag.partition("=")[0] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '{"scheme_name": "HE_SEAL"}'])
def test_parameters_that_are_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "parameters.json"
    path.write_text(text)
    with pytest.raises(ConfigError):
        parse_settings([f"--encryption_params={path}"])


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--n_part=3", "there is no flag --n_part; did you mean --n_parties?"),
        ("--wholly_unknown", "there is no flag --wholly_unknown; see"),
        ("3", "unexpected word '3'"),
        ("--n_parties=three", "--n_parties: invalid int value: 'three'"),
        ("--n_parties", "--n_parties: expected one argument"),
        ("--launcher=none", "--launcher: invalid choice: 'none'"),
    ],
)
def test_a_flag_that_cannot_be_read(flag: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_settings([flag])
    assert said in str(error.value)
    assert str(error.value).endswith("see run_experiment.py --help")


def test_noise_that_wraps() -> None:
    """1e8 fits ten counts; 1e9 does not, nor does the threshold's, nor a threshold beside it."""
    parse_settings(["--sigma=1e8"])
    for flags in (["--sigma_threshold=1e9"], ["--sigma=1.5e8", "--sigma_threshold=1"]):
        with pytest.raises(ConfigError, match=flags[0].partition("=")[0] + ": .*wrap in 32 bits"):
            parse_settings(["--threshold=1000000000", *flags])


def test_noise_that_the_answering_parties_draw() -> None:
    flags = ["--noise=distributed", "--n_parties=5", "--sigma=2", "--threshold=4"]
    privacy = parse_settings([*flags, "--colluding=4"]).privacy
    assert (privacy.noise, privacy.colluding, privacy.sigma_threshold) == ("distributed", 4, 0)
    assert parse_settings(flags).privacy.colluding == 0
    assert parse_settings([]).privacy.noise == "guardian"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--colluding=1"], "--colluding needs --noise distributed"),
        (["--noise=distributed", "--colluding=5"], "--colluding is 5; allowed is 0 to 4"),
        (["--noise=distributed", "--colluding=-1"], "--colluding is -1"),
        (["--min_parties=6"], "--min_parties is 6; allowed is 1 to 5"),
        (["--min_parties=0"], "--min_parties is 0; allowed is 1 to 5"),
        (["--min_parties=3", "--step"], "--min_parties is refused with --step"),
        (
            ["--noise=distributed", "--min_parties=3", "--colluding=3"],
            "--colluding is 3; allowed is 0 to 2",
        ),
        (
            ["--noise=distributed", "--threshold=3", "--sigma_threshold=1"],
            "--sigma_threshold is refused with --noise distributed",
        ),
        (["--noise=distributed", "--sigma=0.006"], "--sigma: sigma is 0.006; distributed over 5"),
        (["--noise=distributed", "--sigma=1e6"], "--sigma: .*wrap"),
        (["--noise=distributed", "--threshold=8388608"], "smaller threshold"),
        (["--noise=somebody"], "--noise"),
    ],
)
def test_noise_that_cannot_be_is_refused_by_its_flag(flags: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_settings(["--n_parties=5", *flags])


def test_whose_data_an_account_covers(tmp_path: Path) -> None:
    def owners(*flags: str) -> str | None:
        places = [f"--checkpoint_dir={tmp_path}", f"--account={tmp_path / 'account.json'}"]
        return parse_settings([*places, *flags]).privacy.owners

    assert owners("--n_parties=3") == f"3 parties of {tmp_path / '3'}"
    assert owners("--ignore_parties") == f"1 party of {tmp_path / 'cryptonets-relu'}"
    assert owners("--data_owners=three banks") == "three banks"
    assert parse_settings(["--n_parties=3"]).privacy.owners is None
    with pytest.raises(ConfigError, match="--data_owners is empty"):
        owners("--data_owners=")


def test_public_queries_are_not_encrypted_and_that_weakens_nothing() -> None:
    settings = parse_settings(["--queries=public", "--sigma=5"])
    assert settings.unencrypted
    assert settings.insecure_switches == ""
    assert [line for line in cautions(settings) if "WARNING" in line] == []
    assert "the queries are public" in cautions(settings)[0]
    assert parse_settings(["--cpu", "--sigma=5"]).insecure_switches == "cpu"
