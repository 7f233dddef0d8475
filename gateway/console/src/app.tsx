import { LocationProvider, Route, Router, useLocation } from 'preact-iso/router'
import { AuditPage } from './audit/auditPage.js'
import { BrokerPage } from './broker/brokerPage.js'
import { ClusterPage } from './clusters/clusterPage.js'
import { ClustersPage } from './clusters/clustersPage.js'
import { NewClusterPage } from './clusters/newClusterPage.js'
import { DevicePage } from './devices/devicePage.js'
import { DevicesPage } from './devices/devicesPage.js'
import { FilesPage } from './files/filesPage.js'
import { GroupPage } from './groups/groupPage.js'
import { GroupsPage } from './groups/groupsPage.js'
import { JobPage } from './jobs/jobPage.js'
import { JobsPage } from './jobs/jobsPage.js'
import { NewJobPage } from './jobs/newJobPage.js'
import { EnrolPage } from './machines/enrolPage.js'
import { MachinePage } from './machines/machinePage.js'
import { MachinesPage } from './machines/machinesPage.js'
import { OverviewPage } from './overview/overviewPage.js'
import { ReportPage } from './runs/reportPage.js'
import { RunPage } from './runs/runPage.js'
import { RunsPage } from './runs/runsPage.js'
import { type Me, MeContext, useMay } from './session/me.js'
import { signedOut, useToken } from './session/session.js'
import { SignIn } from './session/signIn.js'
import { Failure } from './ui/failure.js'
import { Page } from './ui/page.js'
import { base } from './ui/place.js'
import { useData } from './ui/useData.js'

export function App() {
  const token = useToken()
  return token ? <SignedIn /> : <SignIn />
}

function SignedIn() {
  const { data, error } = useData<{ data: Me }>('/user')
  return (
    <MeContext.Provider value={data?.data}>
      <LocationProvider scope={base}>
        <Side me={data?.data} />
        <main>
          <Failure error={error} />
          {data && <Pages />}
        </main>
      </LocationProvider>
    </MeContext.Provider>
  )
}

function Pages() {
  return (
    <Router>
      <Route path={base} component={OverviewPage} />
      <Route path={`${base}/machines`} component={MachinesPage} />
      <Route path={`${base}/machines/new`} component={EnrolPage} />
      <Route path={`${base}/machines/:id`} component={MachinePage} />
      <Route path={`${base}/groups`} component={GroupsPage} />
      <Route path={`${base}/groups/:id`} component={GroupPage} />
      <Route path={`${base}/jobs`} component={JobsPage} />
      <Route path={`${base}/jobs/new`} component={NewJobPage} />
      <Route path={`${base}/jobs/:id`} component={JobPage} />
      <Route path={`${base}/runs`} component={RunsPage} />
      <Route path={`${base}/runs/:jobId/:runId`} component={RunPage} />
      <Route path={`${base}/runs/:jobId/:runId/:clientId/:reportId`} component={ReportPage} />
      <Route path={`${base}/files`} component={FilesPage} />
      <Route path={`${base}/devices`} component={DevicesPage} />
      <Route path={`${base}/devices/:id`} component={DevicePage} />
      <Route path={`${base}/broker`} component={BrokerPage} />
      <Route path={`${base}/clusters`} component={ClustersPage} />
      <Route path={`${base}/clusters/new`} component={NewClusterPage} />
      <Route path={`${base}/clusters/:id`} component={ClusterPage} />
      <Route path={`${base}/audit`} component={AuditPage} />
      <Route default component={NoSuchPage} />
    </Router>
  )
}

function NoSuchPage() {
  return (
    <Page title="No such page">
      <p>
        <a href={base}>To the overview</a>
      </p>
    </Page>
  )
}

/** Pages and the function code that their service asks for. */
const pages = [
  ['', 'Overview', 'client.view'],
  ['/machines', 'Machines', 'client.view'],
  ['/groups', 'Groups', 'client.view'],
  ['/jobs', 'Jobs', 'job.view'],
  ['/runs', 'Runs', 'job.view'],
  ['/files', 'Files', 'job.view'],
  ['/devices', 'Devices', 'device.view'],
  ['/broker', 'Broker', 'broker.view'],
  ['/clusters', 'Clusters', 'cluster.view']
] as const

function Side({ me }: { me: Me | undefined }) {
  const may = useMay()
  const { path } = useLocation()
  const isHere = (page: string) => (page === '' ? path === base : path.startsWith(base + page))
  const shown: (readonly [string, string])[] = pages
    .filter(([, , code]) => may(code))
    .map(([page, name]) => [page, name])
  if (me?.is_super_admin) shown.push(['/audit', 'Audit'])
  return (
    <nav class="side" aria-label="Console">
      <strong>Fleetgate</strong>
      {shown.map(([page, name]) => (
        <a key={page} href={base + page} aria-current={isHere(page) ? 'page' : undefined}>
          {name}
        </a>
      ))}
      <div class="who">
        <a href="/docs">API reference</a>
        <span>{me?.nickname}</span>
        <button type="button" onClick={signedOut}>
          Sign out
        </button>
      </div>
    </nav>
  )
}
