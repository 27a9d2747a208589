"""What can go wrong, as a tree you can draw.

    LlmplanError
    |-- InputError                 exit 2: the request or a file is wrong
    |   |-- UnknownName            no such model, device, engine or format
    |   |-- AmbiguousName          a name that means several entries
    |   |-- NotPlannable           a closed model, a service, a tool: no plan can be made of it
    |   |-- IllegalParallelism     a tp/pp/dp/ep that no engine could start
    |   `-- CatalogFileError       a YAML or JSON file that does not validate
    `-- OutsideError               exit 3: something outside llmplan failed

"Does not fit" is not an error: it is an answer, with its numbers.
"""

from __future__ import annotations


class LlmplanError(Exception):
    """Base of every error that llmplan raises on purpose: one line, and the way out."""

    exit_code = 2
    code = "error"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def to_dict(self) -> dict[str, object]:
        """Return the `error` object of the JSON contract."""
        return {"code": self.code, "message": self.message, "hint": self.hint}

    def one_line(self) -> str:
        """Return message and hint as the single line printed on stderr."""
        text = f"{self.message} {self.hint}" if self.hint else self.message
        return " ".join(text.split())


class InputError(LlmplanError):
    """The request or a file given with it is wrong."""

    code = "bad_input"


class UnknownName(InputError):
    """No entry goes by that name."""

    code = "unknown_name"


class AmbiguousName(InputError):
    """Several entries go by that name; picking one silently would be a guess."""

    code = "ambiguous_name"


class NotPlannable(InputError):
    """A known name that no plan can be made of: closed, hosted, not a language model."""

    code = "not_plannable"


class IllegalParallelism(InputError):
    """The asked tp, pp, dp or ep cannot split this model."""

    code = "illegal_parallelism"


class CatalogFileError(InputError):
    """A catalogue or plan file does not validate."""

    code = "bad_file"

    @classmethod
    def at(
        cls,
        file: str,
        line: int | None,
        field: str | None,
        problem: str,
        hint: str | None = None,
        *,
        column: int | None = None,
    ) -> CatalogFileError:
        """Return the error of one place in a file: `file:line:column: field: problem.`."""
        place = ":".join(str(part) for part in (file, line, column) if part)
        error = cls(f"{place}: {field + ': ' if field else ''}{problem}.", hint)
        error.file, error.line, error.field, error.column = file, line, field, column
        return error

    file: str | None = None
    line: int | None = None
    column: int | None = None
    field: str | None = None


class OutsideError(LlmplanError):
    """Something outside llmplan (network, driver, disk) failed."""

    exit_code = 3
    code = "outside_failure"
