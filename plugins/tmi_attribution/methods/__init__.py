"""Attribution methods: thin wrappers of Captum's, and the controls that they are compared with."""
