import { createRoot } from 'react-dom/client';
import { GraphiQL } from 'graphiql';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import 'graphiql/graphiql.css';
import './page.css';

// The query behind step 10 of the tour: what led to an object and what it led
// to. Put an identifier such as inc_… into the variables.
const query = `# 来龙去脉 · from the lost packet to the thanks
query Trace($id: ID!) {
  trace(id: $id) {
    nodes { id kind at title { zh en } state hidden }
    edges { from to kind at }
    truncated
  }
}

query Viewer {
  viewer { __typename }
}
`;

const fetcher = createGraphiQLFetcher({ url: new URL('/graphql', location.href).href });
createRoot(document.getElementById('graphiql')).render(
  <GraphiQL fetcher={fetcher} defaultQuery={query} shouldPersistHeaders={false} isHeadersEditorEnabled={false} />,
);
