from mmsra_pipeline.telemetry.mlflow_names import flatten, metric_name


def test_nested_settings_are_joined_with_dots():
    assert flatten({"a": {"b": {"c": 1}}, "d": 2}) == {"a.b.c": 1, "d": 2}


def test_signs_that_mlflow_refuses_are_written_as_words():
    assert metric_name("hr@5/a+b") == "hr_at_5/a_plus_b"
