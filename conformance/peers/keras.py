"""Keras 3 on TensorFlow: its circle loss, and its cross-entropies of logits."""

from lossproof.conformance.host.peers import peer

circle = peer("keras", "Circle")
sparse_categorical_crossentropy = peer("keras", "SparseCategoricalCrossentropy", from_logits=True)
categorical_crossentropy = peer("keras", "CategoricalCrossentropy", from_logits=True)
