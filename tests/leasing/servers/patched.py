"""The configuration of a gunicorn that loads the site before it forks: gevent has to patch before that."""

from gevent import monkey

monkey.patch_all()
