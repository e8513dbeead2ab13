# Types of the module that terralive renders from templates/terralive_settings.py.j2 into the root
# of a stub's zip.
URL: str
APP: str
STAGE: str
SECRET: str
ARN_PREFIX: str
