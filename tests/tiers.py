"""Which tests are slow, so that `make check` can leave them out."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parent

# Files and folders whose tests are marked slow; a slow test beside quick ones has its own mark.
SLOW = (
    # import TensorFlow
    "bench/test_accuracy.py",
    "bench/test_network_area.py",
    "data/test_party_models.py",
    "gc/test_gc_loading.py",
    "graph/test_calibration.py",
    "graph/test_constants.py",
    "graph/test_endings.py",
    "graph/test_fixed_batch.py",
    "graph/test_import.py",
    "graph/test_import_activations.py",
    "graph/test_import_defaults.py",
    "graph/test_import_keras.py",
    "graph/test_import_operations.py",
    "graph/test_import_refusals.py",
    "graph/test_loader.py",
    "graph/test_joins.py",
    "graph/test_prepared.py",
    "graph/test_random_models.py",
    "graph/test_refusals.py",
    "graph/test_sources.py",
    "graph/test_verification.py",
    "harness/test_calibrated_models.py",
    "he_transformer",
    "harness/test_models.py",
    "harness/test_suitability.py",
    "learning/test_given_models.py",
    "learning/test_imported.py",
    "learning/test_label_sets.py",
    "learning/test_own_dataset.py",
    "learning/test_secure_queries.py",
    "learning/test_shapes.py",
    "learning/test_vectorised.py",
    "learning/test_stages.py",
    "learning/test_training.py",
    # start many processes, or let time limits pass
    "gc/test_programs_hostile.py",
    # start many processes
    "audit",
    # read ONNX models, and start processes with them
    "graph/onnx_models/test_onnx_exports.py",
    "graph/onnx_models/test_onnx_operations.py",
    "graph/onnx_models/test_onnx_sources.py",
    # start many processes
    "api/test_api_run.py",
    "harness/test_card_panes.py",
    "harness/test_doctor.py",
    "harness/test_experiment.py",
    "harness/test_experiment_files.py",
    "harness/test_forks.py",
    "harness/test_hosts.py",
    "harness/test_left_overs.py",
    "harness/test_nodes.py",
    "harness/test_odd_starts.py",
    "harness/test_public_files.py",
    "harness/test_ray_nodes.py",
    "harness/test_real_run.py",
    "harness/test_supervisor.py",
    "harness/test_tmux.py",
    "harness/test_tmux_options.py",
    "harness/test_users_graphs.py",
    "learning/test_workers_store.py",
    "inference/test_hostile_plans.py",
    "parties/test_coming_back.py",
    "parties/test_cuts.py",
    "parties/test_federation.py",
    "parties/test_federation_faults.py",
    "protocol",
    "transport/test_hostile_connections.py",
    # compute or draw for five seconds or more
    "ckks/test_ckks_session.py",
    "graph/test_reference.py",
    "inference/test_random_graphs.py",
    "learning/test_plots.py",
    "privacy/test_recorded_run.py",
)


def is_slow(path: Path) -> bool:
    """Whether SLOW names the file or a folder that it lies in."""
    return any(path.is_relative_to(TESTS / name) for name in SLOW)
