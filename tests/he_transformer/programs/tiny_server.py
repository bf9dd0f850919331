# ruff: noqa: T201  a user's program prints
"""c * (a + b): a is the server's, b the client's where there is one, c is fed."""

import argparse

import ngraph_bridge  # noqa: F401
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import rewriter_config_pb2

parser = argparse.ArgumentParser()
parser.add_argument("--backend", default="HE_SEAL")
parser.add_argument("--enable_client", default="False")
parser.add_argument("--port", default="34000")
parser.add_argument("--encryption_parameters", default="")
FLAGS = parser.parse_args()

a = tf.constant(np.array([[1, 2, 3, 4]]), dtype=np.float32)
b = tf.compat.v1.placeholder(tf.float32, shape=(1, 4), name="client_parameter_name")
c = tf.compat.v1.placeholder(tf.float32, shape=(1, 4))
f = c * (a + b)

options = rewriter_config_pb2.RewriterConfig()
options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
options.min_graph_nodes = -1
optimizer = options.custom_optimizers.add()
optimizer.name = "ngraph-optimizer"
optimizer.parameter_map["ngraph_backend"].s = FLAGS.backend.encode()
optimizer.parameter_map["device_id"].s = b""
optimizer.parameter_map["encryption_parameters"].s = FLAGS.encryption_parameters.encode()
optimizer.parameter_map["enable_client"].s = FLAGS.enable_client.encode()
optimizer.parameter_map["port"].s = FLAGS.port.encode()
if FLAGS.enable_client == "True":
    optimizer.parameter_map[b.name].s = b"client_input"
config = tf.compat.v1.ConfigProto()
config.MergeFrom(
    tf.compat.v1.ConfigProto(graph_options=tf.compat.v1.GraphOptions(rewrite_options=options))
)

with tf.compat.v1.Session(config=config) as session:
    value = session.run(f, feed_dict={b: np.ones((1, 4)), c: np.full((1, 4), 2.0)})
    print("Result:", value.tolist(), flush=True)
