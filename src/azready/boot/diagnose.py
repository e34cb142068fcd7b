from azready.boot.timeline import BootRecord


def diagnose(record: BootRecord) -> tuple[str, ...]:
    return ()
