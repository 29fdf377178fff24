"""Command groups that know their commands' names and load their code on use."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from fieldpack.errors import ConfigError

__all__ = ["LazyCommand", "LazyGroup", "make_app"]


# as Go's `flag` reads them
_TRUTHS = {**dict.fromkeys(("true", "t", "1"), True), **dict.fromkeys(("false", "f", "0"), False)}


@dataclass(frozen=True)
class LazyCommand:
    """Where a command is, and its line in `--help`, which is shown without importing it.

    Attributes:
        module: has `register(app)`, which adds the command to a Typer app under its name.
        help: one line.
        extra: what `pip install 'fieldpack[…]'` must have brought for it to work.
    """

    module: str
    help: str
    extra: str | None = None


def make_app(*, has_completion: bool = False, **settings: Any) -> typer.Typer:
    """A Typer app in the house style: plain help, since rich takes longer to load than all the rest.

    Args:
        has_completion: add `--install-completion` and `--show-completion`; the program's own app has them.
        settings: what else Typer takes.
    """
    context = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
    return typer.Typer(
        rich_markup_mode=None, add_completion=has_completion, context_settings=context, **settings
    )


class LazyGroup(TyperGroup):
    """A group whose `lazy` commands are imported when they are run, never to print the group's help."""

    lazy: ClassVar[dict[str, LazyCommand]] = {}
    _is_listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """The group's own commands, then the lazy ones."""
        return [*self.commands, *(name for name in self.lazy if name not in self.commands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, imported if need be."""
        entry = self.lazy.get(cmd_name)
        if entry is not None and self._is_listing:
            return TyperCommand(cmd_name, help=entry.help)
        if entry is not None and cmd_name not in self.commands:
            try:
                self.commands[cmd_name] = _load(cmd_name, entry)
            except ModuleNotFoundError as error:
                raise _explain_missing(error, f"{ctx.command_path} {cmd_name}", entry) from error
        return self.commands.get(cmd_name)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete the commands' names, without importing them."""
        self._is_listing = True
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self._is_listing = False

    def invoke(self, ctx: Any) -> Any:
        """Run the command; say which extra is missing when that is why it cannot."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            name = ctx.invoked_subcommand
            entry = self.lazy.get(name)
            if entry is None:
                raise
            raise _explain_missing(error, f"{ctx.command_path} {name}", entry) from error

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Suggest similar names, lazy commands included; Typer knows only the imported ones."""
        if args and args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx))
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands with their one line each."""
        rows = []
        for name in self.list_commands(ctx):
            entry, command = self.lazy.get(name), self.commands.get(name)
            if entry is not None:
                rows.append((name, entry.help))
            elif command is not None and not command.hidden:
                rows.append((name, command.get_short_help_str(formatter.width)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _load(name: str, entry: LazyCommand) -> Any:
    app = make_app()
    app.callback()(lambda: None)  # so that it is a group even with one command
    import_module(entry.module).register(app)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    command = group.commands[name]
    # `register(app)` may have made its own apps: keep one style of help and of errors.
    if getattr(command, "rich_markup_mode", None) is not None:
        command.rich_markup_mode = None  # type: ignore[attr-defined]  # of typer only
    _take_truths(command)
    return command


def _take_truths(command: Any) -> None:
    """Have switches take `--name=true` and `--name=false` too, as the hosted service's client does."""
    for each in getattr(command, "commands", {}).values():
        _take_truths(each)
    switches: dict[str, list[str]] = {}  # by name, what says the opposite, if anything does
    for param in command.params:
        if getattr(param, "is_bool_flag", False):
            switches |= dict.fromkeys(param.opts, param.secondary_opts[:1])
            switches |= dict.fromkeys(param.secondary_opts, param.opts[-1:])
    if not switches:
        return
    parse = command.parse_args

    def parse_args(ctx: Any, args: list[str]) -> list[str]:
        given: list[str] = []
        for arg in args if "--" not in args else args[: args.index("--")]:
            name, _, word = arg.partition("=")
            if name not in switches or word.lower() not in _TRUTHS:
                given.append(arg)
            elif _TRUTHS[word.lower()]:
                given.append(name)
            else:
                given += switches[name]  # without any it is as if it was not given
        found: list[str] = parse(ctx, [*given, *args[args.index("--") :]] if "--" in args else given)
        return found

    command.parse_args = parse_args


def _explain_missing(error: ModuleNotFoundError, command: str, entry: LazyCommand) -> Exception:
    if entry.extra is None or (error.name or "").split(".")[0] == "fieldpack":
        return error
    return ConfigError(f"{command} needs the {entry.extra} extra: pip install 'fieldpack[{entry.extra}]'")
