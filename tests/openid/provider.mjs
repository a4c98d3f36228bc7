// A certified OpenID provider for tests: accounts, claims and clients come from the JSON file named by the
// first argument. It prints one line when it listens.
import { readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const accounts = () => JSON.parse(readFileSync(process.argv[2], 'utf8')).accounts;

const provider = new Provider(settings.issuer, {
  clients: settings.clients,
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username'],
    email: ['email'],
    groups: ['groups'],
  },
  scopes: ['openid', 'profile', 'email', 'groups', 'offline_access'],
  conformIdTokenClaims: settings.claimsInUserinfo,
  pkce: { required: () => true },
  cookies: { keys: ['for-tests-only'] },
  features: { devInteractions: { enabled: true } },
  async findAccount(_context, id) {
    const claims = accounts()[id];
    return claims && { accountId: id, claims: async () => ({ sub: id, ...claims }) };
  },
});
provider.listen(settings.port, '127.0.0.1', () => console.log('listening'));
