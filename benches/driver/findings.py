"""What a measurement says while it runs, and what it has to say against itself."""

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Findings:
    problems: list[str] = field(default_factory=list)
    """What went wrong."""
    left_out: list[str] = field(default_factory=list)
    """What cannot be measured here."""

    def say(self, text: str) -> None:
        print(text, flush=True)

    def problem(self, text: str) -> None:
        self.problems.append(text)
        self.say(f"  ! {text}")
