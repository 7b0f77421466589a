"""An emulator of Globus Auth and the Globus Transfer API 0.10, for tests and demonstrations.

It really copies files, between folders of this machine. It is no Globus: it was written from the fixtures of globus-sdk
and from what its users tell, and has never been compared with the real service. It says so in its ``Server`` header, in
each task's ``command`` and in the names of its collections.

globus-sdk finds it by GLOBUS_SDK_SERVICE_URL_AUTH and GLOBUS_SDK_SERVICE_URL_TRANSFER, see `Emulator.environment`.
"""
