"""Train a fully connected network on MNIST on the CPU, watch it learn, draw a digit and see it read.

Each package has a docstring that says what it is for and where to start. Each imports only what stands below it:

    app, __main__
    views                           the page; the only code that knows Streamlit
    server, cli                     processes and the queue of jobs; the command line
    sweep, reading, benchmark
    training, export
    runs, analysis, data
    network, drawing
    config, records, files          every setting; what a run yields; reading and writing files
    cpus                            the cores that this process may use

pyproject.toml states this as contracts, which import-linter checks.
"""
