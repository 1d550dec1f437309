def test_a_request_without_workers_is_refused() -> None:
    assert Request(workers=2).workers == 2
    with pytest.raises(ValueError, match="expected at least 1 process, got 0"):
        Request(workers=0)
