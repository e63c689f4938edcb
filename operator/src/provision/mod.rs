//! The operator's calls to central, `signet.v1.Provision`.

mod credentials;
#[cfg(test)]
mod tests;

use std::time::Duration;

use protocol::v1::{
    self, ApplyIdGeneratorRequest, ApplyRoleRequest, ApplyTenantRequest, DeleteIdGeneratorRequest,
    DeleteResponse, DeleteRoleRequest, DeleteTenantRequest, DeletionPolicy, IdGeneratorApplied,
    RoleApplied, TenantApplied, apply_id_generator_response, apply_role_response,
    apply_tenant_response, provision_client::ProvisionClient,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

pub use credentials::Credentials;

use crate::invalid::InvalidResource;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where central is and how to prove oneself to it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `https://host:port`, or `http://host:port` without TLS.
    pub url: String,
    /// Certificates (PEM) to trust, and no others. Needed with https.
    pub ca_pem: Option<String>,
    /// The caller's credentials.
    pub credentials: Credentials,
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// Central refuses what is declared.
    #[error("refused: {0}")]
    Refused(InvalidResource),
    /// Central cannot be reached, or cannot answer now.
    #[error("SIGNET-OPERATOR-0020: central cannot be reached or is busy: {message}")]
    Unavailable {
        /// What the transport or central said.
        message: String,
    },
    /// Central does not take the operator for the operator.
    #[error(
        "SIGNET-OPERATOR-0021: central does not accept the operator's token ({message}): compare \
         central's SIGNET_OPERATOR_SERVICE_ACCOUNT and SIGNET_TOKEN_AUDIENCE with the operator's \
         ServiceAccount and projected token"
    )]
    Denied {
        /// What central said.
        message: String,
    },
    /// The operator has no token to show.
    #[error(
        "SIGNET-OPERATOR-0022: no token for central: {message}. The pod needs a projected \
         ServiceAccount token at SIGNET_TOKEN_FILE"
    )]
    Credentials {
        /// What is wrong with it.
        message: String,
    },
    /// The address or the certificates to trust make no sense.
    #[error("SIGNET-OPERATOR-0023: central's address or CA cannot be used: {message}")]
    Settings {
        /// What is wrong with them.
        message: String,
    },
    /// Central answered what the contract does not know: the two are of different releases, or
    /// central failed inside.
    #[error("SIGNET-OPERATOR-0024: central failed: {message}")]
    Failed {
        /// What central said.
        message: String,
    },
}

impl ProvisionError {
    /// The stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(invalid) => invalid.code(),
            Self::Unavailable { .. } => "SIGNET-OPERATOR-0020",
            Self::Denied { .. } => "SIGNET-OPERATOR-0021",
            Self::Credentials { .. } => "SIGNET-OPERATOR-0022",
            Self::Settings { .. } => "SIGNET-OPERATOR-0023",
            Self::Failed { .. } => "SIGNET-OPERATOR-0024",
        }
    }

    /// The reason it has in a condition.
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused(invalid) => &invalid.reason,
            Self::Unavailable { .. } => "CentralUnavailable",
            Self::Denied { .. } | Self::Credentials { .. } => "CentralDenied",
            Self::Settings { .. } => "CentralMisconfigured",
            Self::Failed { .. } => "CentralFailed",
        }
    }

    /// Whether the same call may succeed later, nothing being changed in the resource.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Refused(invalid) => invalid.may_heal,
            _ => true,
        }
    }
}

impl From<Status> for ProvisionError {
    fn from(status: Status) -> Self {
        let message = if status.message().is_empty() {
            status.code().to_string()
        } else {
            status.message().to_owned()
        };
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied { message },
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::ResourceExhausted
            | Code::Aborted => Self::Unavailable { message },
            _ => Self::Failed { message },
        }
    }
}

/// The client of central's Provision service. Cheap to clone; clones share one connection, made
/// when first needed and made again when lost.
#[derive(Clone, Debug)]
pub struct Provisioner {
    client: ProvisionClient<Channel>,
    credentials: Credentials,
}

impl Provisioner {
    /// A client that connects when first used.
    ///
    /// # Errors
    /// [`ProvisionError::Settings`] when the address or the CA cannot be used.
    pub fn new(settings: Settings) -> Result<Self, ProvisionError> {
        let unusable = |message: String| ProvisionError::Settings { message };
        let mut endpoint = Endpoint::from_shared(settings.url.clone())
            .map_err(|error| unusable(format!("{}: {error}", settings.url)))?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        if settings.url.starts_with("https://") {
            let ca = settings
                .ca_pem
                .ok_or_else(|| unusable("https needs certificates to trust".into()))?;
            endpoint = endpoint
                .tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)))
                .map_err(|error| unusable(error.to_string()))?;
        }
        Ok(Self {
            client: ProvisionClient::new(endpoint.connect_lazy()),
            credentials: settings.credentials,
        })
    }

    /// Makes a tenant what is declared.
    ///
    /// # Errors
    /// [`ProvisionError::Refused`] when the declaration is wrong; else the call failed.
    pub async fn apply_tenant(
        &self,
        request: ApplyTenantRequest,
    ) -> Result<TenantApplied, ProvisionError> {
        use apply_tenant_response::Outcome;
        let request = self.signed(request).await?;
        let response = self.client.clone().apply_tenant(request).await?;
        match response.into_inner().outcome {
            Some(Outcome::Applied(applied)) => Ok(applied),
            Some(Outcome::Refusal(refusal)) => Err(ProvisionError::Refused(refusal.into())),
            None => Err(no_outcome()),
        }
    }

    /// Makes a role what is declared.
    ///
    /// # Errors
    /// As [`Self::apply_tenant`].
    pub async fn apply_role(
        &self,
        request: ApplyRoleRequest,
    ) -> Result<RoleApplied, ProvisionError> {
        use apply_role_response::Outcome;
        let request = self.signed(request).await?;
        let response = self.client.clone().apply_role(request).await?;
        match response.into_inner().outcome {
            Some(Outcome::Applied(applied)) => Ok(applied),
            Some(Outcome::Refusal(refusal)) => Err(ProvisionError::Refused(refusal.into())),
            None => Err(no_outcome()),
        }
    }

    /// Makes a generator what is declared.
    ///
    /// # Errors
    /// As [`Self::apply_tenant`].
    pub async fn apply_id_generator(
        &self,
        request: ApplyIdGeneratorRequest,
    ) -> Result<IdGeneratorApplied, ProvisionError> {
        use apply_id_generator_response::Outcome;
        let request = self.signed(request).await?;
        let response = self.client.clone().apply_id_generator(request).await?;
        match response.into_inner().outcome {
            Some(Outcome::Applied(applied)) => Ok(applied),
            Some(Outcome::Refusal(refusal)) => Err(ProvisionError::Refused(refusal.into())),
            None => Err(no_outcome()),
        }
    }

    /// Ends the declaration of a tenant. One that central does not know is gone already.
    ///
    /// # Errors
    /// When the call failed.
    pub async fn delete_tenant(
        &self,
        name: &str,
        policy: DeletionPolicy,
    ) -> Result<DeleteResponse, ProvisionError> {
        let request = DeleteTenantRequest {
            name: name.into(),
            deletion_policy: policy.into(),
        };
        let request = self.signed(request).await?;
        gone(self.client.clone().delete_tenant(request).await)
    }

    /// Takes a role away.
    ///
    /// # Errors
    /// When the call failed.
    pub async fn delete_role(
        &self,
        tenant: &str,
        namespace: &str,
        name: &str,
    ) -> Result<DeleteResponse, ProvisionError> {
        let request = DeleteRoleRequest {
            tenant: tenant.into(),
            namespace: namespace.into(),
            name: name.into(),
        };
        let request = self.signed(request).await?;
        gone(self.client.clone().delete_role(request).await)
    }

    /// Takes a generator away. Central keeps its high-water mark.
    ///
    /// # Errors
    /// When the call failed.
    pub async fn delete_id_generator(
        &self,
        tenant: &str,
        namespace: &str,
        name: &str,
    ) -> Result<DeleteResponse, ProvisionError> {
        let request = DeleteIdGeneratorRequest {
            tenant: tenant.into(),
            namespace: namespace.into(),
            name: name.into(),
        };
        let request = self.signed(request).await?;
        gone(self.client.clone().delete_id_generator(request).await)
    }

    async fn signed<T>(&self, message: T) -> Result<Request<T>, ProvisionError> {
        let authorization = self.credentials.authorization().await?;
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", authorization);
        Ok(request)
    }
}

/// What is not there needs no deleting.
fn gone(
    response: Result<tonic::Response<DeleteResponse>, Status>,
) -> Result<DeleteResponse, ProvisionError> {
    match response {
        Ok(response) => Ok(response.into_inner()),
        Err(status) if status.code() == Code::NotFound => Ok(v1::DeleteResponse::default()),
        Err(status) => Err(status.into()),
    }
}

fn no_outcome() -> ProvisionError {
    ProvisionError::Failed {
        message: "the answer has no outcome: central is of another release".into(),
    }
}
