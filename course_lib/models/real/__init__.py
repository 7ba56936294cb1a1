"""Small trained models, from files that `make models` fetches: where they lie, GGUF
read, tokenizers, chat templates, loading.
"""
