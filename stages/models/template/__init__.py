"""What the engine `template:` (stages/models/template_engine.py) makes its answers by: rules and words, no model."""
