"""`terralive gc`: remove debug stacks that nobody has used for some time.

It needs no checkout of the apps. It shows what it would do, and asks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from terralive_cli.configuration.values import FILE, Config
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.target import Stage, aws_providers, opened
from terralive_cli.output import failures
from terralive_cli.output.events import Message
from terralive_cli.output.formats.words import plural
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import check_target
from terralive_cli.restoring.originals import uploaded
from terralive_cli.stages.ages import seconds_of
from terralive_cli.stages.cleanup.checkouts import stack_config
from terralive_cli.stages.cleanup.decision import CleanupWish, candidate_item, kept_item
from terralive_cli.stages.cleanup.removing import Removal
from terralive_cli.stages.cleanup.restorable import StackFunctions
from terralive_cli.stages.events import CleanupAction, CleanupItem, CleanupPlanned
from terralive_cli.stages.listing import listed
from terralive_cli.stages.looks import Functions, StackLook, label
from terralive_cli.stages.reading import AccountReader, at_once, now_ms
from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.providers import AwsProvider
from terralive_terraform.side_by_side.runs import RunsAtOnce


@dataclass(frozen=True, slots=True)
class _Looked:
    """A debug stack in the plan of a cleanup, and its removal; None where it stays."""

    item: CleanupItem
    removal: Removal | None = None


def run(
    config: Config,
    ui: Ui,
    *,
    older_than: str,
    matched: tuple[str, ...] = (),
    kept: tuple[str, ...] = (),
    dry_run: bool = False,
) -> int:
    """Remove old debug stacks.

    Args:
        config: the configuration of this folder.
        ui: shows events and asks.
        older_than: the age, as it was typed.
        matched: patterns of the stages to remove; () for all.
        kept: patterns of stages that are kept.
        dry_run: whether nothing is changed.

    Returns:
        The exit code; `FAILED` if a debug stack stays that is old enough.

    Raises:
        ConfigurationError: `age-unknown`; also what `check_target` raises.
        CredentialsError: the caller may not list the debug stacks.
    """
    older_than_s = seconds_of(older_than)
    if older_than_s is None:
        raise _age_unknown(older_than)
    wish = _wish(config, older_than_s, matched, kept)
    with opened(config) as target, ExitStack() as folders:
        base = Stage.of(config, target, ui.emit)
        check_target(base, ui, changes=not dry_run)
        reader = AccountReader(target.caller)
        stacks, functions = at_once(reader.stacks, reader.functions)
        named = [stack for stack in stacks if wish.names(stack.stage)]
        looks = reader.looks(named)
        found = list(_looked(base, wish, looks, functions, folders))
        items = tuple(look.item for look in found)
        others = len(stacks) - len(named)
        ui.emit(CleanupPlanned(target.name, older_than_s, items, others))
        if dry_run:
            return 0
        removals = [look.removal for look in found if look.removal is not None]
        if removals and not ui.confirm(_question(removals, target.name)):
            ui.emit(Message(message="Nothing was changed."))
            return failures.FAILED
        are_all_removed = _run(removals, reader, ui)
        if not are_all_removed or any(item.action is CleanupAction.LEFT for item in items):
            return failures.FAILED
        return 0


def _run(removals: Sequence[Removal], reader: AccountReader, ui: Ui) -> bool:
    """Remove debug stacks one after the other, and tell whether all are removed."""
    are_all_removed = True
    for removal in removals:
        ui.emit(Message(message=f"Removing {removal.look.stack.stage}."))
        result = removal.run(reader)
        ui.emit(result)
        are_all_removed = are_all_removed and result.removed
    return are_all_removed


def _wish(
    config: Config, older_than_s: int, matched: tuple[str, ...], kept: tuple[str, ...]
) -> CleanupWish:
    app = ""
    if config.terraform.found or (config.project / FILE).exists():
        app = config.app
    words = config.production_words
    if config.sandbox:
        words = ()
    return CleanupWish(older_than_s, app, matched, kept, config.protected, words)


def _looked(
    base: Stage,
    wish: CleanupWish,
    looks: Sequence[StackLook],
    functions: Functions,
    folders: ExitStack,
) -> Iterator[_Looked]:
    """Decide about each debug stack that the user has named."""
    target = base.target
    now = now_ms(target.caller, time.time())
    for look in looks:
        stack = listed(look, functions, target.region, now)
        kept = wish.kept_because(stack)
        if kept:
            yield _Looked(kept_item(stack, kept))
            continue
        found = stack_config(base.config, look, os.environ)
        stage = _stage(base, found.config, is_own=found.is_own, folders=folders)
        providers: tuple[AwsProvider, ...] = ()
        if found.is_own:
            providers = aws_providers(base.config, base.config.terraform.dir)
        accounts = Accounts(target.caller, providers, base.config.account_settings)
        own = StackFunctions(look.stack.stage, accounts, partial(uploaded, stage))
        restorable = own.examine(look.items, functions)
        names = tuple(label(arn, target.region) for arn in restorable.originals)
        reason = found.reason or wish.left_because(names, restorable.blocked)
        removal = None
        if not reason:
            removal = Removal(stage, look, own, restorable, found.is_own)
        yield _Looked(candidate_item(stack, reason, names), removal)


def _stage(base: Stage, config: Config, *, is_own: bool, folders: ExitStack) -> Stage:
    """Return the stage of a debug stack; that of another app gets a folder for this run."""
    if is_own:
        work = base.target.work.parent / config.stage
    else:
        work = Path(folders.enter_context(TemporaryDirectory(prefix="terralive-gc-")))
    names = {"TERRALIVE_APP": config.app, "TERRALIVE_STAGE": config.stage}
    return replace(
        base,
        config=config,
        target=replace(base.target, work=work),
        # With one cache of provider plugins for all of them.
        environment={**base.environment, **names},
        runs=RunsAtOnce(),
    )


def _question(removals: Sequence[Removal], place: str) -> str:
    count = sum(len(removal.restorable.originals) for removal in removals)
    stacks = plural(len(removals), "debug stack")
    if not count:
        return f"Destroy {stacks} in {place}?"
    functions = plural(count, "function")
    return f"Put the own code of {functions} back, and destroy {stacks} in {place}?"


def _age_unknown(age: str) -> ConfigurationError:
    return ConfigurationError(
        "age-unknown",
        f'"{age}" is not an age.',
        hint="Write a number and a unit: --older-than 3d, 12h, 30m or 2w.",
    )
