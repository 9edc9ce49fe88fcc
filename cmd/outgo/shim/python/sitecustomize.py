"""Loaded by every Python that runs under outgo, by PYTHONPATH.

It makes every SSL context trust the interception authority of OUTGO_SHIM_CA beside whatever it trusts already, also those
of SDKs that bring a bundle of their own (stripe-python), and makes aiohttp follow the proxy variables, which it does only
when asked. Modules are patched when they are first imported, so that start-up costs next to nothing. Nothing in here may
keep Python from starting. Last, the sitecustomize that this one hides is run.
"""
import os
import sys


def _trust(ssl, authority):
    """Adds the authority wherever a context is given certificates to trust."""
    context = ssl.SSLContext
    load = context.load_verify_locations

    def add(self):
        try:
            load(self, authority)
        except Exception:  # the file is gone: the context is as good as without this shim
            pass

    def load_verify_locations(self, cafile=None, capath=None, cadata=None):
        load(self, cafile, capath, cadata)
        add(self)

    default_paths = context.set_default_verify_paths

    def set_default_verify_paths(self):
        default_paths(self)
        add(self)

    default_certs = context.load_default_certs

    def load_default_certs(self, purpose=ssl.Purpose.SERVER_AUTH):
        default_certs(self, purpose)
        add(self)

    context.load_verify_locations = load_verify_locations
    context.set_default_verify_paths = set_default_verify_paths
    context.load_default_certs = load_default_certs


def _follow_environment(client):
    """Makes trust_env the default of aiohttp's sessions."""
    import functools

    init = client.ClientSession.__init__

    @functools.wraps(init)
    def __init__(self, *args, **kwargs):
        kwargs.setdefault("trust_env", True)
        init(self, *args, **kwargs)

    client.ClientSession.__init__ = __init__


class _Patches(object):
    """A finder that finds nothing itself: it lets the others find, and patches what they load."""

    def __init__(self, patches):
        self.patches = patches

    def find_spec(self, name, path=None, target=None):
        patch = self.patches.pop(name, None)
        if patch is None:
            return None
        from importlib.util import find_spec

        try:
            spec = find_spec(name)
            run = spec.loader.exec_module
        except Exception:
            return None

        def exec_module(module):
            run(module)
            try:
                patch(module)
            except Exception:
                pass

        try:
            spec.loader.exec_module = exec_module
        except Exception:  # a loader that cannot be told: the module stays as it is
            pass
        return spec


def _install():
    patches = {"aiohttp.client": _follow_environment}
    authority = os.environ.get("OUTGO_SHIM_CA")
    if authority:
        patches["ssl"] = lambda ssl: _trust(ssl, authority)
    for name in list(patches):
        if name in sys.modules:
            patches.pop(name)(sys.modules[name])
    sys.meta_path.insert(0, _Patches(patches))


def _next():
    """Runs the sitecustomize further down sys.path, in this one's place."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = os.path.dirname(os.path.realpath(__file__))
    rest = [p for p in sys.path if os.path.realpath(p or ".") != here]
    spec = PathFinder.find_spec("sitecustomize", rest)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


try:
    _install()
except Exception:
    pass
_next()
