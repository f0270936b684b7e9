-- A login of a server that we run ourselves (demo, tests); the password goes there as a verifier only.
CREATE ROLE {role} PASSWORD {verifier} {attributes};
