# ruff: noqa: T201, I001  a user's program prints, and imports TensorFlow first
"""A frozen classifier, evaluated for a client, or on data that is encrypted here."""

import argparse

import numpy as np
import tensorflow as tf
import ngraph_bridge  # noqa: F401
from tensorflow.core.protobuf import rewriter_config_pb2

parser = argparse.ArgumentParser()
for flag, default in {
    "backend": "HE_SEAL",
    "enable_client": "False",
    "enable_gc": "False",
    "mask_gc_inputs": "False",
    "mask_gc_outputs": "False",
    "num_gc_threads": "1",
    "encryption_parameters": "",
    "encrypt_server_data": "False",
    "pack_data": "True",
    "model_file": "",
    "data": "",
    "port": "34000",
}.items():
    parser.add_argument(f"--{flag}", default=default)
FLAGS = parser.parse_args()

with tf.io.gfile.GFile(FLAGS.model_file, "rb") as file:
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(file.read())
tf.import_graph_def(definition)
graph = tf.compat.v1.get_default_graph()
x = graph.get_tensor_by_name("import/input:0")
y = graph.get_tensor_by_name("import/output/BiasAdd:0")

options = rewriter_config_pb2.RewriterConfig()
options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
options.min_graph_nodes = -1
optimizer = options.custom_optimizers.add()
optimizer.name = "ngraph-optimizer"
optimizer.parameter_map["ngraph_backend"].s = FLAGS.backend.encode()
for flag in (
    "encryption_parameters",
    "enable_client",
    "enable_gc",
    "mask_gc_inputs",
    "mask_gc_outputs",
    "num_gc_threads",
    "port",
):
    optimizer.parameter_map[flag].s = getattr(FLAGS, flag).encode()
if FLAGS.enable_client == "True":
    optimizer.parameter_map[x.name].s = b"client_input"
elif FLAGS.encrypt_server_data == "True":
    optimizer.parameter_map[x.name].s = b"encrypt"
if FLAGS.pack_data == "True":
    optimizer.parameter_map[x.name].s += b",packed"
config = tf.compat.v1.ConfigProto(graph_options=tf.compat.v1.GraphOptions(rewrite_options=options))

with tf.compat.v1.Session(config=config) as session:
    session.run(tf.compat.v1.global_variables_initializer())
    values = y.eval(feed_dict={x: np.load(FLAGS.data)})
    print("Result:", values.tolist(), flush=True)
