"""`manage.py token`: make, list and revoke API tokens."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db.models.functions import Now

from flows.models import Membership, Workspace
from flows.models.workspace import DEFAULT_WORKSPACE
from portal.access.models import ApiToken
from portal.access.tokens import create_token
from runs.checks import PORTS


class Command(BaseCommand):
    """Tokens belong to a user and open one workspace."""

    # Not those of URLs, which load every page: half of such a short process.
    requires_system_checks = [PORTS]

    help = "Make, list and revoke API tokens. A token's text is shown once, when it is made."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="make a token and print it")
        create.add_argument("user", help="whose token it is")
        create.add_argument("--workspace", default=DEFAULT_WORKSPACE, help="what it opens (default: default)")
        create.add_argument("--name", default="", help="a note on what it is for")
        actions.add_parser("list", help="list the tokens that were not revoked")
        revoke = actions.add_parser("revoke", help="make a token useless, at once and for ever")
        revoke.add_argument("prefix", help="its first characters, as `token list` shows them")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "create":
                self.create(options["user"], options["workspace"], options["name"])
            case "list":
                self.list()
            case "revoke":
                self.revoke(options["prefix"])

    def create(self, username: str, workspace_name: str, name: str) -> None:
        users = get_user_model()
        user = users.objects.filter(**{users.USERNAME_FIELD: username}).first()
        if user is None:
            raise CommandError(
                f"There is no user '{username}'. Make one with `python manage.py createsuperuser`."
            )
        workspace = Workspace.objects.filter(name=workspace_name).first()
        if workspace is None:
            raise CommandError(f"There is no workspace '{workspace_name}'.")
        member = Membership.objects.filter(user_id=user.pk, workspace=workspace).exists()
        if not (member or user.is_superuser):
            raise CommandError(
                f"'{username}' is not a member of the workspace '{workspace_name}', so the token "
                "would open nothing. Add a membership in the admin first."
            )
        self.stdout.write(create_token(user, workspace, name)[1])
        self.stderr.write("Keep it: it is stored hashed and cannot be shown again.")

    def list(self) -> None:
        tokens = ApiToken.objects.filter(revoked__isnull=True).select_related("user", "workspace")
        for token in tokens.order_by("created"):
            expires = f", expires {token.expires:%Y-%m-%d}" if token.expires else ""
            self.stdout.write(
                f"{token.prefix}  {token.user.get_username()}  {token.workspace.name}  "
                f"made {token.created:%Y-%m-%d %H:%M}{expires}  {token.name}".rstrip()
            )

    def revoke(self, prefix: str) -> None:
        found = ApiToken.objects.filter(revoked__isnull=True, prefix__startswith=prefix[:12])
        match len(found[:2]):
            case 0:
                raise CommandError(f"No token begins with '{prefix}'. See `python manage.py token list`.")
            case 1:
                found.update(revoked=Now())
                self.stdout.write(f"Revoked {prefix}.")
            case _:
                raise CommandError(f"Several tokens begin with '{prefix}'. Give more of its characters.")
