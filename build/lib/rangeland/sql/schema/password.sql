-- The nodes' password, as a verifier: the server and its log never see the password itself.
ALTER ROLE {role} PASSWORD {verifier};
