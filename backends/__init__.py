"""One backend a framework: `lossproof.backends.torch`, `.tensorflow`, `.jax`. Import the one you need."""
