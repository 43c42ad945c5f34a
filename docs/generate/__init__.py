"""The sources of the site, made from what the repository has: `python -m docs.generate FOLDER`."""
