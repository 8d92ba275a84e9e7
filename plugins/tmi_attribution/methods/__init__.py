"""Attribution methods: each a few lines around Captum's, and the controls that they are compared with."""
