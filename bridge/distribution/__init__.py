"""What is known of this program as it was built and shipped.

build   the commit that it was built from, and the versions of Python that it was tested with
files   the folders that are shipped beside the code
"""
