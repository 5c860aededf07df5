"""One file per published method, each reading like its paper.

Lives here: config, views, model, loss, inspections and record of each method.
Must not live here: anything two methods share, anything about loops, windows or disks; methods import no method.
"""
