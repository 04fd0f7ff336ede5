"""Variables, secrets and artifacts."""

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.blocks.system import Secret
from prefect.variables import Variable


@flow
def work() -> list:
    Variable.set("migration_cities", ["seattle", "berlin"], overwrite=True)
    Secret(value="token").save("migration-secret", overwrite=True)
    made = [
        create_table_artifact([{"city": "Seattle"}], key="cities"),
        create_markdown_artifact("# Hello", key="hello"),
        create_link_artifact("https://example.com", key="link"),
    ]
    return [
        Variable.get("migration_cities"),
        Variable.get("migration_nothing", default="none"),
        Secret.load("migration-secret").get(),
        len(made),
    ]


if __name__ == "__main__":
    print(work())

# Prints:
# [['seattle', 'berlin'], 'none', 'token', 3]
