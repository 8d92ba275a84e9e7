def sections(results):
    return []
